"""What the collections of a work folder need of it: everything else may go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tasks.index.ledger import ledgers_folder
from tasks.work.begun import all_begun
from tasks.work.collections import CollectionRecord, every_record
from tasks.work.folder import Folder

ALWAYS = ("catalog", "queries", "shards.json", "sources.parquet", "run.json", "reindex.json")
"""What every collection needs of the folder of the run that it was made by."""


@dataclass
class Needs:
    """What is needed of the folders of runs.

    `whole` folders are those of collections that are being built or updated, and of runs that a
    limit or a kill stopped: a run goes on from anything in them. Of others `parts` names the files
    and folders that are needed, and `rejects` how names of rejects begin. `superseded` are folders
    that a collection was made of before, of which nothing is needed but by searches that began
    then. `unreadable` are records that may name anything.
    """

    whole: set[str] = field(default_factory=set)
    parts: dict[str, set[str]] = field(default_factory=dict)
    rejects: dict[str, set[str]] = field(default_factory=dict)
    superseded: set[str] = field(default_factory=set)
    unreadable: list[str] = field(default_factory=list)

    @property
    def runs(self) -> set[str]:
        """Folders of which something is needed."""
        return self.whole | self.parts.keys()

    def add(self, record: CollectionRecord) -> None:
        """Count in what one collection needs."""
        # records of earlier versions do not name all that they need
        if record.status != "ready" or not record.stages.encoding_form:
            self.whole.add(record.run)
        self.whole.update(update.run for update in record.updates)
        self.superseded.update(record.superseded)
        made, ledgers = record.stages, set(ledgers_of(record))
        outputs = {made.images, made.texts, made.pictures, made.sparse, made.bm25}
        self.parts.setdefault(record.run, set()).update(ALWAYS, outputs - {""}, ledgers)
        begin = {"dataset", *(f"{stage}-" for stage in {made.images, *ledgers})}
        self.rejects.setdefault(record.run, set()).update(begin)


def read_needs(work: Folder) -> Needs:
    """What the records of a work folder and their copies name, of collections of every store."""
    needs = Needs(whole=all_begun(work))
    for name, records in every_record(work):
        if not records:
            needs.unreadable.append(name)
        for record in records:
            needs.add(record)
    return needs


def ledgers_of(record: CollectionRecord) -> Iterator[str]:
    """The folders of ledgers, in that of its run, that a collection has or would be given."""
    if record.held:
        yield record.held
    yield ledgers_folder(record.made_of, record.incarnation)
