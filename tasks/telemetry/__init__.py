"""What is seen of runs while they go: lines of a log, metrics, and traces."""
