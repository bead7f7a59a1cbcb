"""One index run: what its outputs are called, and what they are made of."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tasks.dataset.shards import Plan
from tasks.downloaded.stage import Downloads
from tasks.encode.stage.plan import Bounds, ImageStage
from tasks.encode.stage.reuse import Encodings
from tasks.encode.stage.workers import decoders_at_once
from tasks.index.documents import DocumentParts, Source, collection_fields
from tasks.index.ledger import ledgers_folder
from tasks.index.limit import UNLIMITED, Limit
from tasks.records import ModelInfo
from tasks.settings import Settings
from tasks.sparse import bm25, tokens
from tasks.sparse.options import SparseOptions, sparse_options
from tasks.work.begun import Begun
from tasks.work.collections import CollectionRecord, Outputs, place_of
from tasks.work.folder import Fence, Folder
from tasks.work.markers import fingerprint

FEW = 1000
"""Pictures, queries or documents that are one small piece of work, whatever parts they are in."""

PICTURES_VERSION = 2
"""Of how pictures for people are made."""

VERSION_OF = "version of"
"""How the names of a recipe begin that only an upgrade of this program changes."""

UPRIGHT_OPTION = "upright"
TOKENS_OPTION = "tokens"
SIMPLIFIED_OPTION = "simplified"
NOTED_LATER = {
    "ids": "numbers",
    "fields": "none",
    UPRIGHT_OPTION: str(False),
    TOKENS_OPTION: "words",
    SIMPLIFIED_OPTION: "no",
}
"""What a recipe says that was made before there was anything else: pictures were not turned, and
Chinese was counted by words, as it was written."""


@dataclass(frozen=True)
class IndexRun:
    """A planned data set, a model and the options: all that an output's name depends on.

    `kept` is the hash of BM25 statistics to go on with, "" to count them over this data. `reuse` is
    the folder that says where pictures and queries were encoded before, "" if nowhere, `fresh` how
    many of them were not (None: who knows);
    `retry_rejects`: pictures that could not be decoded before are tried again. `downloads`: what
    became of the addresses of pictures (None: there are none). `fence`: by what the run holds the
    work folder. `limit`: how far it may go; `allotted`: how many new pictures some parts may encode
    at most, by their names (None: any number). `name`: the collection or alias it is for.
    `as_made`: the number format of the vectors that its own will stand beside ("" if there are
    none).
    """

    settings: Settings
    plan: Plan
    model: ModelInfo
    kept: str = ""
    reuse: str = ""
    fresh: int | None = field(default=None, compare=False)
    retry_rejects: bool = False
    downloads: Downloads | None = field(default=None, compare=False)
    fence: Fence | None = field(default=None, compare=False, repr=False)
    limit: Limit = field(default=UNLIMITED, compare=False)
    allotted: Mapping[str, int] | None = field(default=None, compare=False, repr=False)
    name: str = field(default="", compare=False)
    as_made: str = field(default="", compare=False)

    @property
    def notes(self) -> str:
        """Where runs are noted that were begun for what this one is for."""
        options = self.settings
        return place_of(self.work, options.store_uri, self.name or options.collection)

    @property
    def is_small(self) -> bool:
        """Whether so little is to be encoded that its parts need not be told apart."""
        return self.fresh is not None and self.fresh <= FEW

    def bounds(self, part: str) -> Bounds:
        """How far a part may go now."""
        fresh = None if self.allotted is None else self.allotted.get(part)
        return Bounds(fresh, self.limit.until)

    @property
    def work(self) -> Folder:
        """The work folder."""
        return Folder(self.settings.work_url, self.fence)

    @property
    def folder(self) -> Folder:
        """The folder of this data set in the work folder."""
        return self.work.sub(self.plan.folder)

    @property
    def image_stage(self) -> ImageStage:
        """Outputs and options of encoding pictures."""
        options = self.settings
        kind = options.picture if options.picture in ("jpeg", "png") else None
        side = options.thumbnail_pixels if kind == "jpeg" else None
        made_of = {**self._picture_options, "limits": self._limits, "version": PICTURES_VERSION}
        return ImageStage(
            images=f"images-{self._images}",
            pictures=f"pictures-{fingerprint(**made_of)}" if kind else "",
            picture=kind,
            longest=side,
            max_pixels=options.max_image_pixels,
            batch=options.batch_images,
            decoders=decoders_at_once(options.decoders or self._cpus),
            memory=options.batch_memory_mb << 20,
            draft=options.jpeg_draft,
            checkpoint=options.checkpoint_seconds,
            decode_seconds=options.decode_seconds,
            decode_in=options.decode_in,
        )

    @property
    def _picture_options(self) -> dict[str, Any]:
        kind = self.settings.picture
        side = self.settings.thumbnail_pixels if kind == "jpeg" else None
        return {"kind": kind, "side": side, **self._draft}

    @property
    def _picture_form(self) -> str:
        """Equal means that the pictures kept for people are the same."""
        return fingerprint(**self._picture_options, version=PICTURES_VERSION)

    @property
    def _cpus(self) -> int:
        """The CPUs that one shard may use; 0: all of the machine."""
        return max(1, round(self.settings.ray_cpus)) if self.settings.runner == "ray" else 0

    @property
    def _images(self) -> str:
        return fingerprint(dtype="float32", limits=self._limits, **self._model_identity)

    @property
    def _limits(self) -> dict[str, int]:
        """What decides which pictures are taken: images and thumbnails have the same rows."""
        return {"max_pixels": self.settings.max_image_pixels}

    @property
    def _model_identity(self) -> dict[str, Any]:
        return {
            "weights": self.model.weights,
            "dimension": self.model.dimension,
            "preprocessing": self.model.preprocessing,
            **({} if self.settings.precision == "auto" else {"precision": self.settings.precision}),
            **self._draft,
        }

    @property
    def _draft(self) -> dict[str, bool]:
        return {"draft": True} if self.settings.jpeg_draft else {}

    @property
    def texts(self) -> str:
        """Folder of the query embeddings."""
        return f"texts-{fingerprint(dtype='float32', **self._model_identity)}"

    @property
    def _sparse(self) -> str:
        kept = {"kept": self.kept} if self.kept else {}
        return fingerprint(**self._sparse_form, **kept)

    @property
    def _sparse_form(self) -> dict[str, Any]:
        return {
            "tokens": tokens.VERSION,
            "k1": bm25.K1,
            "b": bm25.B,
            "document": self.settings.document,
            **self.sparse_options.fingerprint(),
        }

    @cached_property
    def sparse_options(self) -> SparseOptions:
        """How texts are cut and counted, read once a run."""
        return sparse_options(self.settings)

    @property
    def bm25_file(self) -> str:
        """File of the BM25 statistics."""
        return f"bm25-{self._sparse}.json"

    @property
    def sparse(self) -> str:
        """Folder of the documents' BM25 vectors."""
        return f"sparse-{self._sparse}"

    @property
    def parts(self) -> DocumentParts:
        """What documents are put together from."""
        return DocumentParts(
            form=self.settings.document,
            images=self.image_stage.images,
            sparse=self.sparse,
            pictures=self.image_stage.pictures or None,
            picture_is_position=self.settings.picture == "uri",
        )

    @property
    def source(self) -> Source:
        """Where the documents come from."""
        return Source(self.folder, self.plan.shards, self.parts)

    @property
    def made_of(self) -> str:
        """Fingerprint of data, model and document options: equal means equal documents."""
        return fingerprint(
            data=self.plan.fingerprint,
            images=self.image_stage.images,
            pictures=self.image_stage.pictures or self.settings.picture,
            positions=self.plan.folder if self.settings.picture == "uri" else "",
            sparse=self._sparse,
            document=self.settings.document,
            partition=self.settings.partition,
            fields=collection_fields(self.plan),
        )

    @property
    def form(self) -> str:
        """Fingerprint of model and document options: documents of two runs fit into one collection
        if it is equal, and are equal if their rows are."""
        options = self.settings
        return fingerprint(
            images=self._model_identity,
            picture=self._picture_form,
            sparse=self._sparse_form,
            document=options.document,
            partition=options.partition,
            **self._fields_form,
        )

    @property
    def _fields_form(self) -> dict[str, Any]:
        """What documents must have in common beside MUGE's fields; {} for a data set like MUGE."""
        plan = self.plan
        fields = {"fields": sorted(plan.fields.items())} if plan.fields else {}
        return {**fields, **({"ids": "text"} if plan.counts.text_ids else {})}

    @property
    def recipe(self) -> dict[str, str]:
        """What the documents depend on beside model and data, by names for people."""
        options = self.settings
        said = {
            f"{VERSION_OF} preprocessing": self.model.preprocessing.rpartition("/")[0],
            f"{VERSION_OF} pictures": str(PICTURES_VERSION),
            f"{VERSION_OF} cutting texts into words": tokens.VERSION,
            f"{VERSION_OF} BM25": f"k1 {bm25.K1}, b {bm25.B}",
            "place of the data": self.plan.folder if options.picture == "uri" else "",
            "max_image_pixels": options.max_image_pixels,
            "thumbnail_pixels": options.thumbnail_pixels if options.picture == "jpeg" else "",
            UPRIGHT_OPTION: options.upright,
            "precision": options.precision,
            "jpeg_draft": options.jpeg_draft,
            "words and statistics of BM25": fingerprint(
                **self.sparse_options.of_files.fingerprint()
            ),
            TOKENS_OPTION: self.sparse_options.lexicon.tokens,
            SIMPLIFIED_OPTION: "yes" if self.sparse_options.lexicon.simplified else "no",
            "ids": "texts" if self.plan.counts.text_ids else NOTED_LATER["ids"],
            "fields": ",".join(sorted(f"{name}:{kind}" for name, kind in self.plan.fields.items()))
            or NOTED_LATER["fields"],
        }
        return {name: str(value) for name, value in said.items()}

    @property
    def reading(self) -> dict[str, str]:
        """The options that the data set was read with, where they were given."""
        options = self.settings
        given = {"fields": options.fields, "image_root": options.image_root}
        return {name: value for name, value in given.items() if value}

    @property
    def stages(self) -> Outputs:
        """What a search or evaluation needs of this run's folder."""
        return Outputs(
            images=self.image_stage.images,
            encoding_form=fingerprint(**self._model_identity),
            pictures=self.image_stage.pictures,
            picture_form=self._picture_form,
            texts=self.texts,
            bm25=self.bm25_file,
            sparse=self.sparse,
        )

    @property
    def own_encodings(self) -> Encodings:
        """Where this run keeps what it encodes."""
        stage = self.image_stage
        return Encodings(self.plan.folder, stage.images, stage.pictures, self.texts)

    @property
    def begun(self) -> Begun:
        """The note that this run is begun."""
        made = self.stages
        return Begun(
            self.plan.folder,
            made.images,
            made.pictures,
            made.texts,
            made.encoding_form,
            made.picture_form,
        )

    def encodings(self, run: str, then: Outputs | Begun) -> Encodings | None:
        """What this run need not encode again of what another one, with these outputs in its
        folder, has encoded; None if it did so in another way, or has no pictures like those kept
        here."""
        now = self.stages
        if then.encoding_form != now.encoding_form:
            return None
        if now.pictures and then.picture_form != now.picture_form:
            return None
        return Encodings(run, then.images, then.pictures, then.texts)

    def upserts(self, record: CollectionRecord, changes: str = "") -> str:
        """Folder that says what the store holds of this run."""
        return ledgers_folder(self.made_of, record.incarnation, changes)

    def new_record(self) -> CollectionRecord:
        """The record of a collection that this run starts to fill."""
        options = self.settings
        return CollectionRecord(
            collection=options.collection,
            store=options.store_uri,
            partition=options.partition,
            status="building",
            incarnation=uuid.uuid4().hex,
            model=self.model,
            dataset=self.plan.dataset,
            data_fingerprint=self.plan.fingerprint,
            made_of=self.made_of,
            run=self.plan.folder,
            stages=self.stages,
            bm25="",
            document=options.document,
            picture=options.picture,
            counts={},
            form=self.form,
            kept=self.kept,
            served=False,
            recipe=self.recipe,
            product=self.plan.product,
            reading=self.reading,
            upright=options.upright,
        )


@dataclass(frozen=True)
class Filling:
    """A collection that a run fills: with all its documents, or with the `changes` that a folder of
    the run's lists."""

    run: IndexRun
    record: CollectionRecord
    changes: str = ""

    @property
    def held(self) -> str:
        """Folder of the ledgers: what the store holds of each shard."""
        if self.record.made_of == self.run.made_of and self.record.held and not self.changes:
            return self.record.held
        return self.run.upserts(self.record, self.changes)
