"""What alpha and topk may be, once: for settings, questions, stores and the search page."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tasks.errors import QueryError

MIN_ALPHA, MAX_ALPHA = 0.0, 1.0
MIN_TOPK, MAX_TOPK = 1, 1024

Alpha = Annotated[float, Field(ge=MIN_ALPHA, le=MAX_ALPHA, allow_inf_nan=False)]
"""The weight of meaning (dense) against keywords (sparse): 1 is meaning only, 0 keywords only."""

TextWeight = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
"""The share of the text in the meaning of a search by picture and text."""

Alike = Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)]
"""How alike (cosine) pictures are of which one stands for the other."""

TopK = Annotated[int, Field(ge=MIN_TOPK, le=MAX_TOPK)]
"""How many results a search gives at most."""


def check_alpha(alpha: float) -> None:
    """Raise `QueryError` unless `alpha` is a number from 0 to 1."""
    if not (isinstance(alpha, int | float) and MIN_ALPHA <= alpha <= MAX_ALPHA):
        raise QueryError(f"alpha is {alpha!r}, expected 0 (keywords) to 1 (meaning)")


def check_text_weight(weight: float) -> None:
    """Raise `QueryError` unless `weight` is a number from 0 to 1."""
    if not (isinstance(weight, int | float) and 0 <= weight <= 1):
        raise QueryError(f"text_weight is {weight!r}, expected 0 (picture) to 1 (text)")


def check_alike(bound: float | None) -> None:
    """Raise `QueryError` unless `bound` is a cosine above 0, or None."""
    if bound is not None and not (isinstance(bound, int | float) and 0 < bound <= 1):
        raise QueryError(f"alike is {bound!r}, expected a similarity above 0, up to 1")


def check_topk(topk: int) -> None:
    """Raise `QueryError` unless `topk` is a whole number from 1 to 1024."""
    if isinstance(topk, bool) or not isinstance(topk, int) or not MIN_TOPK <= topk <= MAX_TOPK:
        raise QueryError(f"topk is {topk!r}, expected {MIN_TOPK} to {MAX_TOPK} (a whole number)")


def check_groups(groups: int, per_group: int) -> None:
    """Raise `QueryError` unless so many groups of so many hits are 1 to 1024 hits together."""
    if min(groups, per_group) < MIN_TOPK or groups * per_group > MAX_TOPK:
        raise QueryError(
            f"{groups} groups of {per_group} hits: both at least {MIN_TOPK}, "
            f"{MAX_TOPK} hits at most"
        )
