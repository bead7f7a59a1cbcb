"""What may be asked of the page and of the API: the same parameters for both."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tasks.ranges import MAX_TOPK, Alike, Alpha, TextWeight, TopK
from tasks.search.questions import Question
from tasks.settings import Fusion

MOST_TEXT = MOST_FILTER = 1000  # characters
UPLOADED, FETCHED = "(uploaded picture)", "(picture at the address)"


class Asking(BaseModel):
    """A search: words, a picture (one of `image`, `picture`, `like`), or both."""

    model_config = ConfigDict(frozen=True)

    text: str | None = Field(default=None, max_length=MOST_TEXT, description="Words, Chinese best.")
    image: str | None = Field(
        default=None,
        max_length=2000,
        description="http(s) address of a picture; the server fetches it.",
    )
    picture: str | None = Field(
        default=None, pattern="^[0-9a-f]{32}$", description="Name of an uploaded picture."
    )
    like: str | None = Field(
        default=None, max_length=64, description="Id of a document: find more like it."
    )
    alpha: Alpha | None = Field(default=None, description="1 = meaning only, 0 = keywords only.")
    fusion: Fusion | None = Field(
        default=None, description="How meaning and keywords become one ranking."
    )
    text_weight: TextWeight | None = Field(
        default=None, description="With a picture and words: the words' share in the meaning."
    )
    alike: Alike | None = Field(
        default=None, description="One hit for pictures that are at least so alike (cosine)."
    )
    topk: TopK | None = Field(default=None, description="Number of results.")
    skip: int | None = Field(
        default=None, ge=0, lt=MAX_TOPK, description="Number of better results left out."
    )
    filter: str | None = Field(
        default=None, max_length=MOST_FILTER, description="For example: image_id < 1000"
    )

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, values: Any) -> Any:
        """An empty field of a form was not filled in."""
        if not isinstance(values, dict):
            return values
        return {
            name: value
            for name, value in values.items()
            if not (isinstance(value, str) and not value.strip())
        }

    @property
    def pictures(self) -> list[str]:
        """The ways in which a picture was given: at most one is meant."""
        return [name for name in ("image", "picture", "like") if getattr(self, name) is not None]

    @property
    def is_empty(self) -> bool:
        """Whether nothing was asked yet."""
        return self.text is None and not self.pictures

    def question(self, alpha: float, topk: int, most: int, alpha_is_open: bool = False) -> Question:
        """The question, with the server's defaults and never more than `most` results, those that
        are left out not counted."""
        shown = {"image": FETCHED, "picture": UPLOADED}
        image = next((shown[name] for name in self.pictures if name in shown), None)
        return Question(
            text=self.text,
            image=image,
            alpha=alpha if self.alpha is None else self.alpha,
            topk=min((self.skip or 0) + self.shown(topk, most), MAX_TOPK),
            filter=self.filter,
            like=self.like,
            fusion=self.fusion,
            text_weight=self.text_weight or 0.0,
            alike=self.alike,
            alpha_is_open=alpha_is_open and self.alpha is None,
        )

    def shown(self, topk: int, most: int) -> int:
        """How many results are shown at most, with the server's default."""
        return min(topk if self.topk is None else self.topk, most)

    def link(self, *without: str, **changed: object) -> str:
        """The address, relative to the page, that asks this again."""
        left_out = {*without, *(() if "skip" in changed else ("skip",))}  # another question's own
        values = {**self.model_dump(exclude_none=True, exclude=left_out), **changed}
        return "?" + urlencode({name: value for name, value in values.items() if value != ""})


class PageAsking(Asking):
    """What the page may be asked besides: the same found in another way, next to it."""

    beside: str | None = Field(
        default=None,
        pattern=r"^(alpha:(0(\.[0-9]{1,3})?|1(\.0{1,3})?)|weighted|normalised|rrf)$",
        description="The other way: alpha:0.3, or a fusion.",
    )

    @property
    def other(self) -> Asking | None:
        """The same asked in the other way; None where there is none to stand beside."""
        if self.beside is None or self.is_empty:
            return None
        name, _, alpha = self.beside.partition(":")
        changed: dict[str, Any] = {"alpha": float(alpha)} if alpha else {"fusion": name}
        return self.model_copy(update={"beside": None, **changed})


def nesting(expression: str) -> int:
    """How deep the brackets of a filter go."""
    depth = deepest = 0
    for char in expression:
        depth += (char == "(") - (char == ")")
        deepest = max(deepest, depth)
    return deepest
