"""The process that is watched: does with bytes what the product does, and says how it ended."""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from pathlib import Path

from tasks.encode.model.decoder import receive, send
from tasks.errors import MugeError
from tests.fuzz.kinds import KINDS


def outcome_of(kind: str, content: bytes, place: Path) -> str:
    """How it ended: "taken", "reject", "line" (an error of one line), or "escape"."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    try:
        return KINDS[kind].take(content, place)
    except MugeError as error:
        said = str(error)
        return "line" if said and len(said) < 2000 else f"escape: an error of {len(said)} letters"
    except Exception as error:
        return f"escape: {type(error).__name__}: {error!s:.200}"


def main() -> None:
    """Serve until the other side closes."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    root = Path(sys.argv[1])
    while True:
        try:
            said, (content,) = receive(sys.stdin.buffer, 1)
        except EOFError:
            return
        send(answers, {"outcome": outcome_of(said["kind"], content, root / "case")})


if __name__ == "__main__":
    main()
