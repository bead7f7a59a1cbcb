"""What is run: flows that wire tasks together, and the command."""
