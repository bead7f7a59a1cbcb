"""The stages that a reindex has beyond those of an index run."""

from __future__ import annotations

from tasks.context import Context
from tasks.index.changes import Changes
from tasks.index.changes import find_changes as compare
from tasks.index.run import IndexRun
from tasks.index.runner import Stage
from tasks.index.upserting import delete_removed
from tasks.reindex.blue_green import choose_collection
from tasks.reindex.checks import check_switch
from tasks.work.collections import CollectionRecord


def find_changes(_: Context, run: IndexRun, record: CollectionRecord) -> Changes:
    """What differs between the documents of a run and those that the store holds."""
    return compare(run, record)


FIND_CHANGES = Stage("find_changes", find_changes)
DELETE_REMOVED = Stage("delete_removed", delete_removed)
CHOOSE_COLLECTION = Stage("choose_collection", choose_collection)
CHECK_SWITCH = Stage("check", check_switch)
