"""Hits and relevance to metrics."""
