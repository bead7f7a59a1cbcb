"""The nouns that cross every doorway: small, frozen, typed.

Glossary. Each word means one thing here:

- row: one line of a data set; span: rows that can be read alone; entry: one picture with all its
  queries, as the catalog has it; shard: consecutive pictures; query part: consecutive queries.
- image: a picture with its id; pixels: what a model sees of it; picture: what people see of it.
- embedding, vector: what a model makes of a picture or a text; sparse vector: BM25 weights.
- document: what a store holds; collection: documents with one schema; partition: a part of one.
- record: how a collection was made; alias: the name that means a collection; ledger: the documents
  of a shard that a store holds; marker: the note beside an output that it is complete.
- stage: one kind of work; runner: how stages are run; context: what a caller shares among them;
  operation: the order of stages; run: one operation on one data set; report: what it says it did.
- field: a value that a document carries beside its picture; product: the field whose value several
  pictures share, of which a search answers with the best.
- question: what a person asks; query: what a store is asked; hit: a document that answers.
- judgement: a query with its right images; gallery: what is searched in an evaluation.
- hash: of content; fingerprint: of all that made an output, and part of its name.
- `_folder` and `_file` end names of places in a run's folder, `_hash` of hashes, `_count` of
  numbers of things; `at_once` is how many at the same time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Uint8 = npt.NDArray[np.uint8]
FieldValue = str | int | float | bool
FieldType = Literal["int", "long", "str", "float", "bool"]
"""`int` is 32 bits and `long` 64 in DashVector; zvec keeps 64 bits for both."""
ImageId = int | str
"""The id that a data set gives a picture: a number, as in MUGE, or a text, as in a catalogue."""
NO_QUERY = -1
"""The `query_id` of a document without a query."""
SparseVector = Mapping[int, float]
"""BM25 weights by term: keys 0 to 2**32 - 1, values finite and above 0."""
Tokens = Literal["words", "chars", "both"]
"""What BM25 counts of Chinese: words, characters and pairs of neighbours, or both."""

DEFAULT_PARTITION = "default"
DOCUMENT_ID = re.compile(r"[a-zA-Z0-9_\-!@#$%+=.]{1,64}")
"""What DashVector takes for a document's id, as a whole."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a data set: an image, a query, or (as in MUGE) the pair of both.

    `position` is what a person looks up ("queries.jsonl:17"). `defect` is set by a reader that
    could not make sense of the line: a short code and a sentence. `fields` are what else is known
    of the image, `source` is the file or address of its picture where `position` is not; `address`
    is where its bytes must be downloaded from, if they must.
    """

    position: str
    image_id: ImageId | None = None
    image: bytes | None = None
    query_id: int | None = None
    query: str | None = None
    defect: tuple[str, str] | None = None
    fields: Mapping[str, FieldValue] = field(default_factory=dict, hash=False)
    source: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """A range of rows of one file that can be read alone; what `start` and `stop` count is the
    reader's affair (rows, bytes or files)."""

    source: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Shard:
    """A reference to consecutive images of a data set: what tasks pass instead of rows.

    `fingerprint` covers ids, image contents, queries and fields of the shard, `pictures` ids and
    image contents alone, `texts` ids and queries alone ("" in work folders from before they were
    noted).
    """

    index: int
    of: int
    images: int
    fingerprint: str
    pictures: str = ""
    texts: str = ""

    @property
    def part(self) -> str:
        """The name that every output of this shard carries."""
        return f"part-{self.index:05d}-of-{self.of:05d}"

    def file_in(self, folder: str) -> str:
        """This shard's Parquet file in a folder of outputs."""
        return f"{folder}/{self.part}.parquet"


@dataclass(frozen=True, slots=True)
class QueryPart:
    """A reference to consecutive queries of a data set."""

    index: int

    @property
    def part(self) -> str:
        """The name that every output of this part carries."""
        return f"part-{self.index:05d}"

    def file_in(self, folder: str) -> str:
        """This part's Parquet file in a folder of outputs."""
        return f"{folder}/{self.part}.parquet"


@dataclass(frozen=True, slots=True)
class Reject:
    """One thing that could not be taken, and why; written to `rejects/` as a Parquet row.

    `stage` is where it happened, `id` an image, query or document id ("" if unknown), `code` a
    short stable reason, `payload_hash` the BLAKE2b-128 of the bytes that were refused ("" if none).
    """

    stage: str
    position: str
    id: str
    code: str
    reason: str
    payload_hash: str = ""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Which model made a vector: everything that must be equal for two vectors to be comparable.

    `weights` is the SHA-256 of the weights file, `dimension` the length of a vector, `resolution`
    the side of the square input picture in pixels, `preprocessing` the version of ours and a hash
    of the model's configurations and vocabulary, with the instruction and the dimension where they
    were chosen. `family` is a name of `MODELS`, `instruction` what queries begin with.
    """

    name: str
    revision: str
    weights: str
    dimension: int
    resolution: int
    preprocessing: str
    family: str = "Chinese-CLIP"
    instruction: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """What a vector database holds: id, dense vector (D,) float32 with L2 norm 1, BM25 vector,
    and fields."""

    id: str
    vector: Float32
    sparse: SparseVector
    fields: Mapping[str, FieldValue]


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """The schema of a collection; the metric is always the dot product, higher is better."""

    name: str
    dimension: int
    fields: Mapping[str, FieldType]


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """A collection as the store describes it; `documents` counts all partitions."""

    spec: CollectionSpec
    documents: int
    partitions: tuple[str, ...] = (DEFAULT_PARTITION,)


@dataclass(frozen=True, slots=True)
class Query:
    """One request to a store, with *unweighted* vectors.

    score = alpha * (dense . document.vector) + (1 - alpha) * (sparse . document.sparse), which is
    DashVector's definition: the query alone is weighted. A missing side counts 0 whatever alpha
    is, and at alpha 1 (0) the sparse (dense) side is not asked.
    """

    dense: Float32 | None
    sparse: SparseVector | None
    alpha: float = 1.0
    topk: int = 10
    filter: str | None = None
    output_fields: tuple[str, ...] | None = None
    partition: str = DEFAULT_PARTITION


@dataclass(frozen=True, slots=True)
class Hit:
    """A document found: `dense` and `sparse` are the weighted parts whose sum is `score`."""

    id: str
    score: float
    dense: float
    sparse: float
    fields: Mapping[str, FieldValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HitGroup:
    """The best hits that share one value of the field they are grouped by."""

    value: str
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class UpsertResult:
    """What a store took and what it refused for good."""

    upserted: int
    rejects: tuple[Reject, ...] = ()
