"""A process in which a partition is tried: `python -m tasks.store.zvec.trial recover|look PATH`."""

from __future__ import annotations

import sys
from pathlib import Path

from tasks.errors import MugeError
from tasks.store.zvec.child import BUSY
from tasks.store.zvec.disk import ZVEC_ERRORS
from tasks.store.zvec.opening import Opening, is_locked


def main() -> None:
    """Do it, and say in one line why it does not work."""
    what, path = sys.argv[1:]
    opening = Opening(Path(path))
    try:
        (opening.recover if what == "recover" else opening.look)()
    except (MugeError, *ZVEC_ERRORS) as error:
        if is_locked(error.__cause__ or error):
            sys.exit(BUSY)
        sys.exit(" ".join(str(error).split()) or type(error).__name__)


if __name__ == "__main__":
    main()
