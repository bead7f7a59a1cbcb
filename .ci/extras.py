"""The requirements of extras of pyproject.toml, a line each: `python .ci/extras.py FILE [s3,oss]`.

An image installs them before it has the code, so that a change of the code installs nothing again.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path


def requirements(file: Path, extras: str) -> Iterator[str]:
    """What the extras need, those that they name of this project's own too; `KeyError` for one that
    is not there."""
    project = tomllib.loads(file.read_text("utf-8"))["project"]
    own = re.compile(rf"{re.escape(project['name'])}\[(.+)\]")
    for extra in filter(None, re.split(r"[\[\], ]+", extras)):
        for requirement in project["optional-dependencies"][extra]:
            named = own.fullmatch(requirement)
            if named is None:
                yield requirement
            else:
                yield from requirements(file, named[1])


if __name__ == "__main__":
    for line in requirements(Path(sys.argv[1]), sys.argv[2]):
        print(line)
