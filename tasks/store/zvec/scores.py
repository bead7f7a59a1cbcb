"""A document with its exact score, and how far float32 may be off it."""

from __future__ import annotations

from dataclasses import dataclass

# Twice float32's unit roundoff.
ROUNDING = 2.0**-23


@dataclass(frozen=True, slots=True)
class Scored:
    """A document and the weighted parts of its exact score, float64."""

    id: str
    dense: float
    sparse: float

    @property
    def score(self) -> float:
        """The sum that ranks it."""
        return self.dense + self.sparse

    @property
    def rank(self) -> tuple[float, str]:
        """Sorts best first, ties by id."""
        return (-self.score, self.id)
