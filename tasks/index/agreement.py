"""What a search must have as its collection was made: the model and the BM25 statistics."""

from __future__ import annotations

from tasks.encode.model.describe import describe_model
from tasks.encode.model.locate import full_name
from tasks.errors import BUILD_ANEW, CollectionRecordError
from tasks.records import ModelInfo
from tasks.sparse.bm25 import Bm25, load_bm25
from tasks.work.collections import CollectionRecord
from tasks.work.folder import Folder


def identity(model: ModelInfo) -> tuple[str, str]:
    """What must be equal for a model to be the same."""
    return model.weights, model.preprocessing


def check_model(record: CollectionRecord) -> None:
    """Raise `CollectionRecordError` if the model found here is not the one of the record."""
    here = describe_model(full_name(record.model))
    if identity(here) != identity(record.model):
        raise CollectionRecordError(
            f"collection {record.collection!r} was made with {record.model.name} weights "
            f"{record.model.weights[:12]} preprocessing {record.model.preprocessing}; here it is "
            f"{here.weights[:12]} {here.preprocessing}; {BUILD_ANEW}"
        )


def load_statistics(record: CollectionRecord, run: Folder) -> Bm25:
    """The BM25 statistics of a collection; raises `CollectionRecordError` if others are there."""
    bm25 = load_bm25(run, record.stages.bm25)
    if bm25.hash != record.bm25:
        raise CollectionRecordError(
            f"collection {record.collection!r} was made with BM25 statistics {record.bm25}, "
            f"{run.url} holds {bm25.hash}; {BUILD_ANEW}"
        )
    return bm25
