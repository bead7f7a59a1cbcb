"""What a search must have as its collection was made: the model and the BM25 statistics."""

from __future__ import annotations

import logging

from tasks.context import Context
from tasks.encode.model.contract import Encoder, TextEncoder
from tasks.encode.model.describe import describe_model
from tasks.encode.model.load import encoder_for, texts_for
from tasks.encode.model.locate import full_name
from tasks.errors import BUILD_ANEW, CollectionRecordError, StoreDamagedError
from tasks.records import CollectionInfo, ModelInfo
from tasks.settings import Settings
from tasks.sparse.bm25 import Bm25, load_bm25
from tasks.store.contract import VectorStore
from tasks.store.stores import parse_address
from tasks.work.collections import CollectionRecord, known_record
from tasks.work.folder import Folder

_log = logging.getLogger(__name__)


def identity(model: ModelInfo) -> tuple[str, str]:
    """What must be equal for a model to be the same."""
    return model.weights, model.preprocessing


def check_model(record: CollectionRecord) -> None:
    """Raise `CollectionRecordError` if the model found here is not the one of the record."""
    here = describe_model(full_name(record.model))
    if identity(here) != identity(record.model):
        raise CollectionRecordError(
            f"collection {record.collection!r} was made with {full_name(record.model)} weights "
            f"{record.model.weights[:12]} preprocessing {record.model.preprocessing}; here it is "
            f"{here.weights[:12]} {here.preprocessing}; {BUILD_ANEW}"
        )


def stored(store: VectorStore, record: CollectionRecord) -> CollectionInfo | None:
    """What the store says of a record's collection, None if it has none.

    Raises `StoreDamagedError` if it is damaged, or has lost the partition of the documents.
    """
    found = store.describe(record.collection)
    lost = found is not None and record.partition not in found.partitions
    if lost and record.counts.get("documents"):
        raise StoreDamagedError(
            f"collection {record.collection!r} of {store.uri} has lost its partition "
            f"{record.partition!r}; `muge repair {record.collection}` builds the collection anew "
            f"from the work folder"
        )
    return found


def computed_in(record: CollectionRecord, run: Folder) -> str:
    """The number formats that the vectors of a collection were computed in, by commas, by its
    record or else by what is there of its embeddings; "" if nothing says it."""
    if record.computed_in:
        return record.computed_in
    # of earlier versions alone: a search is quicker without
    from tasks.dataset.shards import find_plan
    from tasks.encode.stage.embeddings import formats_in

    if (plan := find_plan(run)) is None:
        return ""
    return formats_in(run, (shard.file_in(record.stages.images) for shard in plan.shards))


def other_arithmetic(collection: str, then: str, now: str) -> str:
    """One line for people if a model works here in another number format than the vectors of a
    collection were computed in, "" if it does not, or nothing says how they were."""
    if then in ("", now):
        return ""
    said = f"the vectors of collection {collection!r} were computed in {then.replace(',', ' and ')}"
    cure = f"MUGE_PRECISION={then} works in the same, slowly where the machine has no units for it"
    if "," in then:
        cure = "build it anew with MUGE_PRECISION set to have all of them in one"
    return f"{said}, here the model works in {now}: scores differ in the third decimal; {cure}"


def encoder_beside(record: CollectionRecord, run: Folder, settings: Settings) -> Encoder:
    """The encoder of a collection's model, working as its vectors were computed if the options
    leave that open and the machine has units for it; where it does not, a line says so."""
    made = computed_in(record, run)
    encoder = encoder_for(full_name(record.model), settings, as_made=made)
    _say_otherwise(record, made, encoder)
    return encoder


def texts_beside(record: CollectionRecord, run: Folder, settings: Settings) -> TextEncoder:
    """As `encoder_beside`, for texts alone."""
    made = computed_in(record, run)
    encoder = texts_for(full_name(record.model), settings, as_made=made)
    _say_otherwise(record, made, encoder)
    return encoder


def _say_otherwise(record: CollectionRecord, made: str, encoder: TextEncoder) -> None:
    if line := other_arithmetic(record.collection, made, encoder.format):
        _log.warning("%s", line)


def check_live(context: Context, settings: Settings) -> None:
    """Before anything slow: raise `CollectionRecordError` if the record of the settings' collection
    cannot be used, and `StoreDamagedError` if it is complete and its files are not."""
    record = known_record(Folder(settings.work_url), settings.store_uri, settings.collection)
    # a service keeps its files itself, and is asked when it is needed
    if (
        record is not None
        and record.status == "ready"
        and parse_address(settings.store_uri).kind.local
    ):
        stored(context.store(settings.store_uri), record)


def load_statistics(record: CollectionRecord, run: Folder) -> Bm25:
    """The BM25 statistics of a collection; raises `CollectionRecordError` if others are there."""
    bm25 = load_bm25(run, record.stages.bm25)
    if bm25.hash != record.bm25:
        raise CollectionRecordError(
            f"collection {record.collection!r} was made with BM25 statistics {record.bm25}, "
            f"{run.url} holds {bm25.hash}; {BUILD_ANEW}"
        )
    return bm25
