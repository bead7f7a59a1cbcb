"""The sample: a small real corpus and a small real model that ship with the project."""
