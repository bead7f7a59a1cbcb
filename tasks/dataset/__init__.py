"""Rows: readers of data sets, and the catalog that cuts them into shards."""
