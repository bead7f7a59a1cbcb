"""The long form: `python -m tests.fuzz --examples 2000`; prints what became of the inputs."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.fuzz.harness import FINE, MOST_MEMORY, Tally, Watched, fuzz
from tests.fuzz.kinds import KINDS

COLUMNS = (*FINE, "escape", "hang", "abort")


def line(name: str, tally: Tally) -> str:
    """A row of the table."""
    counts = "".join(f"{tally.outcomes[column]:>8,}" for column in COLUMNS)
    return f"{name:<20}{tally.outcomes.total():>8,}{counts}{tally.memory >> 20:>8,}"


def main() -> int:
    """Fuzz and print; 1 if anything did not end well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=2000, help="Inputs of each kind.")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--out", type=Path, help="Folder for inputs that did not end well.")
    options = parser.parse_args()
    print(f"{'':<20}{'inputs':>8}{''.join(f'{column:>8}' for column in COLUMNS)}{'MiB':>8}")
    bad = 0
    for name in options.kinds:
        with Watched() as watched, tempfile.TemporaryDirectory() as folder:
            tally = fuzz(watched, name, options.examples, Path(folder))
        print(line(name, tally), flush=True)
        for outcome in dict.fromkeys(outcome for outcome, _ in tally.found):
            print(f"    {outcome}", flush=True)
        for number, (_, content) in enumerate(tally.found if options.out else ()):
            options.out.mkdir(parents=True, exist_ok=True)
            (options.out / f"{name.replace(' ', '-')}-{number}").write_bytes(content)
        bad += len(tally.found) + (tally.memory > MOST_MEMORY)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
