"""What people type for a model, taken apart: a place or hub name, choices, a revision.

`st:NAME?dimension=512&instruction=...&trust_remote_code=true@REVISION`; all but the name may be
left out, and only models of Sentence Transformers have choices. A record's name is in the same
form: what finds a model again says all that was chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, quote

from tasks.errors import ModelError

PREFIX = "st:"
"""What the names of models of Sentence Transformers begin with."""
_CHOICES = ("dimension", "instruction", "trust_remote_code")


@dataclass(frozen=True, slots=True)
class Choices:
    """What is chosen of a model: `dimension` that vectors are cut to (0: the model's own),
    `instruction` that queries begin with (None: the model's own), `trusted`: code that comes with
    the model is run."""

    dimension: int = 0
    instruction: str | None = None
    trusted: bool = False

    def __str__(self) -> str:
        said = {
            "dimension": str(self.dimension) if self.dimension else None,
            "instruction": self.instruction,
            "trust_remote_code": "true" if self.trusted else None,
        }
        given = [
            f"{name}={quote(text, safe='')}" for name, text in said.items() if text is not None
        ]
        return f"?{'&'.join(given)}" if given else ""


NOTHING_CHOSEN = Choices()


@dataclass(frozen=True, slots=True)
class ModelName:
    """A name taken apart: `place` is a folder or a hub's name, `revision` "" if none is said."""

    place: str
    is_st: bool = False
    choices: Choices = NOTHING_CHOSEN
    revision: str = ""


def parse_name(model: str) -> ModelName:
    """The parts of a name; raises `ModelError` naming the choice that cannot be."""
    if not model.startswith(PREFIX):
        return ModelName(model)
    place, asked, rest = model.removeprefix(PREFIX).partition("?")
    if asked:
        chosen, _, revision = rest.partition("@")
        return ModelName(place, True, _choices(chosen, model), revision)
    return ModelName(place, True)


def with_choices(model: str, chosen: Choices) -> str:
    """A name with choices that were given beside it; those in the name win.

    Raises `ModelError` if the model is none that has choices.
    """
    if chosen == NOTHING_CHOSEN:
        return model
    name = parse_name(model)
    if not name.is_st:
        if chosen == Choices(trusted=True):  # set for a whole machine
            return model
        raise ModelError(
            f"--dimension and --instruction are for models of Sentence Transformers (st:NAME), and "
            f"{model!r} is none"
        )
    own = name.choices
    both = Choices(
        own.dimension or chosen.dimension,
        chosen.instruction if own.instruction is None else own.instruction,
        own.trusted or chosen.trusted,
    )
    place, at, revision = name.place.partition("@")
    revision = name.revision or revision
    return f"{PREFIX}{place}{both}" + (f"@{revision}" if revision or at else "")


def _choices(said: str, model: str) -> Choices:
    given = dict(parse_qsl(said, keep_blank_values=True))
    unknown = sorted(given.keys() - set(_CHOICES))
    if unknown:
        raise ModelError(f"{model!r}: {unknown[0]!r} is none of {', '.join(_CHOICES)}")
    dimension = given.get("dimension", "0")
    if not dimension.isascii() or not dimension.isdigit() or len(dimension) > 6:
        raise ModelError(f"{model!r}: dimension is {dimension!r}, expected a whole number above 0")
    trusted = given.get("trust_remote_code", "false")
    if trusted not in ("true", "false"):
        raise ModelError(f"{model!r}: trust_remote_code is {trusted!r}, expected true or false")
    return Choices(int(dimension), given.get("instruction"), trusted == "true")
