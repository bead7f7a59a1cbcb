"""Inspect: what a data set holds and what indexing it would cost, before anything is made of it."""
