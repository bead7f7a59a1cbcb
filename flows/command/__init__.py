"""The command `muge`."""
