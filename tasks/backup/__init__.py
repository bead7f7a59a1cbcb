"""Backup and move: a collection to a folder of files, and from there to any store."""
