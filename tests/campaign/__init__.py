"""The campaign: hundreds of runs that are killed, starved, refused and fed bad rows, and what must
hold after each of them."""
