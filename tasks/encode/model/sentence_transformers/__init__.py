"""Models of Sentence Transformers that see pictures."""
