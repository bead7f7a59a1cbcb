"""The demo: what a new user sees first."""
