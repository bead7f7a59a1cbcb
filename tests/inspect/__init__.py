"""Tests of tasks/inspect."""
