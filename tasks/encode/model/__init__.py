"""Models: bytes and texts to vectors."""
