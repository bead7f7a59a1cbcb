"""What the API answers, as it is documented."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from tasks.records import FieldValue


class ErrorText(BaseModel):
    """What went wrong."""

    code: str
    message: str


class ErrorAnswer(BaseModel):
    """Every answer that is no success."""

    error: ErrorText


class AskedAnswer(BaseModel):
    """The question as it was understood."""

    text: str | None
    image: str | None
    alpha: float
    topk: int
    filter: str | None
    like: str | None = None
    skip: int = 0
    fusion: str | None = None
    text_weight: float | None = None
    alike: float | None = None


class HitAnswer(BaseModel):
    """A document found; dense and sparse are the weighted parts whose sum is the score."""

    id: str
    score: float
    dense: float
    sparse: float
    fields: dict[str, FieldValue]
    alike: list[str] | None = None


class DoubtAnswer(BaseModel):
    """Perhaps nothing fits: the best similarity (cosine) of a hit is below the threshold, which the
    best one of all but the share `refused` of the collection's own queries reaches."""

    best: float
    threshold: float
    refused: float


class SearchAnswer(BaseModel):
    """As `muge search --json` prints it; times in milliseconds."""

    query: AskedAnswer
    hits: list[HitAnswer]
    took_ms: dict[str, float]
    doubt: DoubtAnswer | None = None


class PictureAnswer(BaseModel):
    """The name under which an uploaded picture is kept for a while."""

    picture: str
    bytes: int


class JudgedAnswer(BaseModel):
    """A judgement as it was kept."""

    id: str
    time: str
    user: str
    query: str
    image: str
    grade: int


class StateAnswer(BaseModel):
    """How the server is."""

    status: str


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documented failures of a route."""
    return {status: {"model": ErrorAnswer} for status in (*statuses, 401, 421, 429, 500, 503)}
