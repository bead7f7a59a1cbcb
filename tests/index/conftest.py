"""Whole runs need a small shop and a tiny model."""

from __future__ import annotations

from tests.shop import model, pictures  # noqa: F401  (fixtures)
