"""What is fetched from other machines, within limits."""
