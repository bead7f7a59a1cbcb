"""Runs that were begun for a collection and have not ended: what they encoded is not lost, though
the next run is of other data.

A run that is stopped by its limit or killed leaves a folder of which no record says anything. It is
noted here before anything is encoded, and forgotten when the collection is complete. The notes of a
name are one file, `begun/<store>/<name>.json`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from pydantic import TypeAdapter, ValidationError

from tasks.work.folder import Folder

BEGUN = "begun"
MOST = 4
"""Older ones are forgotten: a later run holds what it met of theirs, and each is a folder of up
to a whole data set."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that was begun: its folder, and the folders in it of picture embeddings, pictures for
    people and query embeddings, with how they are made (as `Outputs` has them)."""

    run: str
    images: str
    pictures: str
    texts: str
    encoding_form: str
    picture_form: str


_FORM = TypeAdapter(list[Begun])


def begun_runs(work: Folder, place: str) -> list[Begun]:
    """The runs begun for a collection or alias, `<store>/<name>`, that have not ended, the last one
    last."""
    return _read(work, f"{BEGUN}/{place}.json")


def note_begun(work: Folder, place: str, run: Begun) -> None:
    """Write that a run is begun, before it encodes anything."""
    before = begun_runs(work, place)
    noted = [*(one for one in before if one.run != run.run), run][-MOST:]
    if noted != before:
        work.write_json(f"{BEGUN}/{place}.json", [asdict(one) for one in noted])


def forget_begun(work: Folder, place: str, but: str = "") -> set[str]:
    """Forget the runs begun for a collection, but for one whose folder is given; gives the folders
    of the others."""
    before = begun_runs(work, place)
    kept = [asdict(one) for one in before if one.run == but]
    if len(kept) < len(before):
        work.write_json(f"{BEGUN}/{place}.json", kept)
    return {one.run for one in before} - {but}


def all_begun(work: Folder) -> set[str]:
    """The folders of all runs that were begun and have not ended, of any collection."""
    return {one.run for path in work.find(BEGUN) for one in _read(work, path)}


def _read(work: Folder, path: str) -> list[Begun]:
    """What a note says; one that is torn says nothing, and costs only that much encoding."""
    if not work.exists(path):
        return []
    try:
        return _FORM.validate_json(work.read_bytes(path))
    except ValidationError:
        return []
