"""What is dropped and pruned, and what must be there afterwards."""
