"""One index run: what is asked, planned, encoded, sent, noted and verified."""
