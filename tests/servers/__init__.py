"""Servers that tests and developers start on loopback."""
