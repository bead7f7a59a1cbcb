"""What indexing a data set would cost on this machine with a model: time, room, and whether it
fits a free cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.encode.model.load import encoder_for
from tasks.encode.stage.workers import decoders_at_once
from tasks.inspect.pictures import CheckedPictures
from tasks.records import ModelInfo
from tasks.settings import Settings

FREE_DOCUMENTS, FREE_DIMENSION = 150_000, 1024
"""What a free DashVector cluster holds."""

TIMED_SECONDS = 1.0
_FIELD_BYTES = 60  # ids and counts of a document
_BYTES_A_CHARACTER = 9  # 3 of UTF-8, and 0.75 BM25 tokens of 8 bytes


@dataclass(frozen=True, slots=True)
class Workload:
    """What there is to index: numbers of images, queries and documents, mean length of all texts
    of a document in characters, and the seconds that reading took."""

    images: int
    queries: int
    documents: int
    characters: float
    read_seconds: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """Cost of indexing on this machine, from timing the model with the data set's own pictures
    and texts. `store_bytes` is vectors and fields alone: a store adds its indexes."""

    model: str
    dimension: int
    device: str
    images_per_second: float
    texts_per_second: float
    seconds: float
    documents: int
    store_bytes: int
    fits_free_cluster: bool


def estimate_cost(
    settings: Settings,
    model: ModelInfo,
    checked: CheckedPictures,
    texts: Sequence[str],
    work: Workload,
) -> Estimate | None:
    """Load the model and time it; None without a readable picture.

    On a CPU the model and the decoders share the cores; elsewhere the slower of them counts.
    """
    if not checked.pixels:
        return None
    encoder = encoder_for(settings.model_name, settings)
    pixels = np.stack(checked.pixels)
    encoded = rate_of(lambda n: encoder.encode_images(pixels[:n]), len(pixels))
    read = rate_of(lambda n: encoder.encode_texts(texts[:n]), len(texts))
    decoders = decoders_at_once(settings.decoders)
    parts = (work.images * checked.seconds / checked.count / decoders, work.images / encoded)
    seconds = sum(parts) if encoder.device == "cpu" else max(parts)
    seconds += work.read_seconds + (work.queries / read if read else 0.0)
    return Estimate(
        model=model.name,
        dimension=model.dimension,
        device=encoder.device,
        images_per_second=round(encoded, 1),
        texts_per_second=round(read, 1),
        seconds=round(seconds, 1),
        documents=work.documents,
        store_bytes=round(work.documents * _document_bytes(settings, model, checked, work)),
        fits_free_cluster=fits_free_cluster(work.documents, model.dimension),
    )


def fits_free_cluster(documents: int, dimension: int) -> bool:
    """Whether a free DashVector cluster would hold so many documents."""
    return documents <= FREE_DOCUMENTS and dimension <= FREE_DIMENSION


def _document_bytes(
    settings: Settings, model: ModelInfo, checked: CheckedPictures, work: Workload
) -> float:
    """A vector of float32, the picture in base64, texts and their BM25 vector."""
    pictures = {"jpeg": checked.thumbnails, "png": checked.bytes}
    picture = pictures.get(settings.picture, 0) / checked.count * 4 / 3
    return 4 * model.dimension + picture + work.characters * _BYTES_A_CHARACTER + _FIELD_BYTES


def rate_of(work: Callable[[int], object], items: int) -> float:
    """Items a second of `work(n)`, which does n items, after one item to warm up."""
    if not items:
        return 0.0
    work(1)
    began, done = time.perf_counter(), 0
    while not done or time.perf_counter() - began < TIMED_SECONDS:
        work(items)
        done += items
    return done / (time.perf_counter() - began)
