"""A collection to a folder of files and back."""
