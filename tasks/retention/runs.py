"""The folders of runs in a work folder: whole ones and outputs in them that no collection needs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby

from tasks.retention.leftovers import Found, Keep, found_files
from tasks.retention.needs import Needs
from tasks.work.folder import Folder, Stored

_RUN = re.compile(r"([^/.][^/]*/[0-9a-f]{16})/(.+)")
_OUTPUT = re.compile(
    r"(?:(?:catalog|queries|rejects)/.+"
    r"|(?:images|pictures|texts|sparse|upserts|changes|reuse)-[0-9a-f]{16}/.+"
    r"|(?:(?:shards|run|reindex)\.json|sources\.parquet|bm25-[0-9a-f]{16}\.json)(?:\.done)?)"
)
"""All that runs write into their folders; what else lies there is somebody else's."""
_PIECES = "pieces"

NO_RUN = "no collection is made of it"
BEFORE = "a collection was made of it before"
WHY = {
    "images": "no collection uses these embeddings of pictures",
    "texts": "no collection uses these embeddings of queries",
    "pictures": "no collection uses these pictures",
    "sparse": "no collection uses these keywords",
    "bm25": "no collection uses these statistics",
    "upserts": "it lists documents of a collection that is no more, or as it was before",
    "changes": "it lists changes of an update that has ended",
    "reuse": "it says what a run that has ended could take over",
    "rejects": "no collection refused them",
    _PIECES: "a run that was killed left them beside a part that is whole",
}
"""By the kind of output."""


def find_runs(work: Folder, files: Iterable[Stored], needs: Needs, keep: Keep) -> Iterator[Found]:
    """What may go of the folders of runs, of which `files` are all files of a work folder."""
    unused: dict[str, list[tuple[str, list[Stored]]]] = {}
    for run, written in _by_run(files):
        if run in needs.whole:
            continue
        if run in needs.parts:
            yield from _find_outputs(work, run, written, needs, keep)
        elif run in needs.superseded:
            if not _is_young(written, keep):
                yield found_files(work, written, "run", run, BEFORE, run)
        else:
            unused.setdefault(run.partition("/")[0], []).append((run, written))
    for runs in unused.values():
        newest_first = sorted(runs, key=lambda each: _changed(each[1]), reverse=True)
        for run, written in newest_first[keep.runs :]:
            if not _is_young(written, keep):
                yield found_files(work, written, "run", run, NO_RUN, run)


def run_folders(files: Iterable[Stored]) -> list[str]:
    """The folders of runs that some of the files lie in."""
    return sorted(run for run, _ in _by_run(files))


def _by_run(files: Iterable[Stored]) -> Iterator[tuple[str, list[Stored]]]:
    ours: dict[str, list[Stored]] = {}
    for file in files:
        found = _RUN.fullmatch(file.name)
        if found is not None and _OUTPUT.fullmatch(found[2]):
            ours.setdefault(found[1], []).append(file)
    yield from ours.items()


def _find_outputs(
    work: Folder, run: str, files: list[Stored], needs: Needs, keep: Keep
) -> Iterator[Found]:
    """Outputs in the folder of a run that a collection is made of, and does not need."""
    parts, refused = needs.parts[run], tuple(needs.rejects[run])

    def unneeded(file: Stored) -> str:
        """The output that a file belongs to; "" for one that is needed."""
        first, _, rest = file.name[len(run) + 1 :].partition("/")
        if first == "rejects":
            return "" if rest.startswith(refused) else first
        if first.removesuffix(".done") not in parts:
            return first.removesuffix(".done")
        return f"{first}/{_PIECES}" if rest.startswith(f"{_PIECES}/") else ""

    for output, group in groupby(sorted(files, key=unneeded), unneeded):
        written = list(group)
        if output and not _is_young(written, keep):
            kind = re.split(r"[-.]", output.rpartition("/")[2])[0]
            why = WHY.get(kind, NO_RUN)
            yield found_files(work, written, kind, f"{run}/{output}", why, f"{run}/{output}")


def _is_young(files: list[Stored], keep: Keep) -> bool:
    return keep.is_young(_changed(files))


def _changed(files: list[Stored]) -> float:
    return max(file.changed for file in files)
