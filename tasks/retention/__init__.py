"""Letting go: collections that are dropped, and what no collection needs any more."""
