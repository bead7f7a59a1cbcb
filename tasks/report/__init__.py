"""Hits and metrics to things that people look at."""
