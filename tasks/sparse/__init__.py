"""Text to BM25 sparse vectors."""
