"""Two models on one data set: the recall of both with paired intervals, their speed and size.

Search is exact and by meaning alone, with the queries of the data set among its own pictures, as on
the MUGE leaderboard; no collection and no work folder is needed.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.context import Context
from tasks.dataset.catalog import Catalog
from tasks.dataset.reader import Reader, document_id
from tasks.dataset.readers import bounds_of, open_reader
from tasks.dataset.shards import read_images
from tasks.encode.model.contract import Encoder, bytes_of_weights
from tasks.encode.model.decoding import DecodeLimits, Decoders, Decoding, decode_bounded
from tasks.encode.model.families import files_of
from tasks.encode.model.load import encoder_for
from tasks.encode.model.locate import full_name, locate_model
from tasks.errors import DatasetError, ImageError
from tasks.evaluate.exact import ExactSearch
from tasks.evaluate.intervals import Float64, Interval, intervals_of
from tasks.evaluate.judgements import Judgement, read_judgements
from tasks.evaluate.metrics import DEPTH, METRICS, score_queries
from tasks.inspect.pictures import sampled
from tasks.records import Float32
from tasks.settings import Settings

SAMPLE = 2000
"""Pictures that are compared on, unless another number is given."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What one model gives. `metrics` have intervals over the queries; rates are of the model
    alone on this machine, `per_picture` bytes of a vector, `weights` bytes of the files, `memory`
    bytes of the weights as they are loaded."""

    model: str
    family: str
    dimension: int
    device: str
    format: str
    parameters: int
    weights: int
    memory: int
    per_picture: int
    images_per_second: float
    texts_per_second: float
    metrics: dict[str, Interval]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both models on the same queries and pictures; `gains` are the second minus the first, with
    paired intervals. Of the data set's `images` the gallery has `gallery`, `unreadable` could not
    be decoded; queries none of whose pictures is in the gallery are not asked."""

    dataset: str
    images: int
    gallery: int
    unreadable: int
    queries: int
    models: tuple[Compared, Compared]
    gains: dict[str, Interval]


def compare_models(
    context: Context,
    models: tuple[str, str],
    dataset: str,
    settings: Settings,
    sample: int = SAMPLE,
) -> Comparison:
    """Encode `sample` of a data set's pictures (0: all), evenly drawn, and its queries with both
    models, one after the other.

    Raises `DatasetError` if it is not there or no query has a picture among them, `ModelError` or
    `DeviceError` for a model.
    """
    reader = open_reader(dataset, bounds_of(settings))
    for model in models:
        locate_model(model)  # before anything slow
    judgements = read_judgements(reader, dataset)
    with Catalog(settings.max_image_bytes, settings.upright) as catalog:
        with context.stage("plan") as advance:
            for _ in catalog.fill(reader, advance):
                pass
        images = catalog.counts().images
        found = [
            _encode(context, catalog, reader, model, settings, images, sample, judgements)
            for model in models
        ]
    first, second = (each.scores for each in found)
    tables = {"first": first, "second": second, "gain": second - first}
    intervals = intervals_of(tables, METRICS)
    told = [each.compared(intervals[name]) for name, each in zip(tables, found, strict=False)]
    return Comparison(
        dataset=dataset,
        images=images,
        gallery=found[0].gallery,
        unreadable=found[0].unreadable,
        queries=len(first),
        models=(told[0], told[1]),
        gains=intervals["gain"],
    )


@dataclass(frozen=True)
class _Encoded:
    """What one model made of the sample: scores (Q, metrics) of the queries that are asked."""

    encoder: Encoder
    scores: Float64
    gallery: int
    unreadable: int
    weights: int
    images_per_second: float
    texts_per_second: float

    def compared(self, metrics: dict[str, Interval]) -> Compared:
        """All of it, for people."""
        info, parameters = self.encoder.info, sum(self.encoder.parameters().values())
        return Compared(
            model=full_name(info),
            family=info.family,
            dimension=info.dimension,
            device=self.encoder.device,
            format=self.encoder.format,
            parameters=parameters,
            weights=self.weights,
            memory=bytes_of_weights(self.encoder),
            per_picture=4 * info.dimension,
            images_per_second=round(self.images_per_second, 1),
            texts_per_second=round(self.texts_per_second, 1),
            metrics=metrics,
        )


def _encode(
    context: Context,
    catalog: Catalog,
    reader: Reader,
    model: str,
    settings: Settings,
    images: int,
    sample: int,
    judgements: Sequence[Judgement],
) -> _Encoded:
    encoder = encoder_for(model, settings)
    gallery = _Gallery(encoder, settings)
    with context.stage("encode_images", min(images, sample) if sample else images) as advance:
        for entries in sampled(catalog, images, sample):
            pictures = ((str(e.image_id), data) for e, data in read_images(reader, entries))
            gallery.add((document_id(name), data) for name, data in pictures)
            advance(len(entries))
    there = set(gallery.ids)
    asked = [each for each in judgements if not there.isdisjoint(each.relevant)]
    if not asked:
        raise DatasetError(
            f"none of the {len(judgements):,} queries has a picture among the {len(there):,} that "
            "were encoded; compare on more of them (--sample 0: all)"
        )
    began = time.perf_counter()
    texts = encoder.encode_texts([each.text for each in asked])
    seconds = time.perf_counter() - began
    search = ExactSearch(len(asked), DEPTH)
    for ids, vectors in gallery.parts:
        search.add(ids, texts @ vectors.T)
    return _Encoded(
        encoder=encoder,
        scores=score_queries(search.rankings(), [each.relevant for each in asked]),
        gallery=len(there),
        unreadable=gallery.unreadable,
        weights=sum(file.stat().st_size for file in files_of(locate_model(model).path)),
        images_per_second=len(there) / gallery.seconds if gallery.seconds else 0.0,
        texts_per_second=len(asked) / seconds,
    )


class _Gallery:
    """Pictures that are decoded as a model sees them, and encoded a batch at a time."""

    def __init__(self, encoder: Encoder, settings: Settings) -> None:
        self._encoder = encoder
        self._batch = encoder.batch_images(settings.batch_images, settings.batch_memory_mb << 20)
        self._seconds = settings.decode_seconds
        info = encoder.info
        self._decoding = Decoding(
            info.resolution,
            settings.max_image_pixels,
            model=full_name(info),
            upright=settings.upright,
        )
        self.parts: list[tuple[list[str], Float32]] = []
        self.unreadable = 0
        self.seconds = 0.0

    @property
    def ids(self) -> list[str]:
        """Ids of the documents of all pictures."""
        return [name for names, _ in self.parts for name in names]

    def add(self, pictures: Iterator[tuple[str, bytes]]) -> None:
        """Take in pictures by their documents' ids."""
        while some := list(itertools.islice(pictures, self._batch)):
            names, pixels = [], []
            with Decoders(DecodeLimits(self._seconds)) as heavy:
                for name, data in some:
                    try:
                        seen = decode_bounded(data, self._decoding, self._encoder.square, heavy)
                    except ImageError:
                        self.unreadable += 1
                        continue
                    names.append(name)
                    pixels.append(seen.pixels)
            if not names:
                continue
            began = time.perf_counter()
            self.parts.append((names, self._encoder.encode_images(np.stack(pixels))))
            self.seconds += time.perf_counter() - began
