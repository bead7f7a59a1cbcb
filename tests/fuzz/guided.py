"""Fuzzing that is guided by which lines an input reaches: `python -m tests.fuzz.guided KIND`.

Needs the package atheris (`pip install atheris`), which is not installed with the others. What
follows the kind goes to its fuzzer, such as -runs=10000 or a folder that keeps inputs.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path


def main() -> None:
    """Fuzz one kind until something does not end well, or as its fuzzer is told."""
    import atheris

    with atheris.instrument_imports(include=["tasks", "deployments"]):
        from tests.fuzz.child import outcome_of
        from tests.fuzz.harness import FINE
        from tests.fuzz.kinds import KINDS

    kind, folder = sys.argv[1], Path(tempfile.mkdtemp(prefix="muge-fuzz-"))
    seeds = folder / "seeds"
    seeds.mkdir()
    for number, content in enumerate(KINDS[kind].seeds(folder)):
        (seeds / str(number)).write_bytes(content)

    def take(content: bytes) -> None:
        outcome = outcome_of(kind, content, folder / "case")
        if outcome not in FINE:
            raise RuntimeError(outcome)

    atheris.Setup([*sys.argv[:1], *sys.argv[2:], str(seeds)], take)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
