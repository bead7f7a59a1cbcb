"""Reindexing a live collection: what changed, what may replace what, and checks before a switch."""
