"""Bytes to pixels to vectors, and text to vectors, with models of the Chinese-CLIP family."""
