"""What is done: plain functions, one room a stage."""
