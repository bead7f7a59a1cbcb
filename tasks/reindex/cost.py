"""What it costs to give a live collection another model, said before anything is done."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tasks.context import Context
from tasks.dataset.reader import Reader
from tasks.dataset.readers import bounds_of, open_reader
from tasks.encode.model.contract import Encoder, bytes_of_weights
from tasks.encode.model.describe import describe_model
from tasks.encode.model.load import encoder_for
from tasks.encode.model.locate import full_name
from tasks.encode.model.pixels import decode_light
from tasks.errors import ImageError
from tasks.index.agreement import identity
from tasks.inspect.cost import rate_of
from tasks.inspect.pictures import KEPT
from tasks.records import Row, Uint8
from tasks.reindex.blue_green import live_record
from tasks.settings import Settings

_LOOKED_AT = 4 * KEPT


@dataclass(frozen=True, slots=True)
class ModelChange:
    """The cost of a new model: `images` and `queries` of the live collection to encode anew,
    measured rates (0: nothing could be measured), `seconds` of encoding on this machine, `vectors`
    bytes of new vectors on the disk and again in the store, `memory` bytes of the model's weights
    on its device."""

    before: str
    after: str
    images: int
    queries: int
    images_per_second: float
    texts_per_second: float
    seconds: float
    vectors: int
    memory: int
    device: str

    @property
    def said(self) -> str:
        """All of it in one line."""
        time = "unknown time"
        if self.images_per_second:
            minutes = self.seconds / 60
            time = f"about {minutes:.0f} min" if minutes < 120 else f"about {minutes / 60:.1f} h"
            if minutes < 2:
                time = f"about {self.seconds:.0f} s"
        return (
            f"model {self.before} becomes {self.after}: {self.images:,} pictures and "
            f"{self.queries:,} queries are encoded anew, {time} of encoding at "
            f"{self.images_per_second:,.1f} pictures/s; {_megabytes(self.vectors)} of vectors on "
            f"the disk and again in the store, {_megabytes(self.memory)} of weights on "
            f"{self.device}; searches use the collection before until the new one passed its checks"
        )


def model_change(context: Context, dataset: str, settings: Settings) -> ModelChange | None:
    """What building the settings' collection anew costs if its model changes, from the live
    collection's counts and from timing the new model on the first pictures of the data set; None if
    there is no live collection, or its model stays.

    Raises `DatasetError`, `ModelError` and `DeviceError` as the run itself would.
    """
    live = live_record(context, settings)
    info = describe_model(settings.model_name)
    if live is None or live.status != "ready" or identity(live.model) == identity(info):
        return None
    encoder = encoder_for(settings.model_name, settings)
    pixels, texts = _some(open_reader(dataset, bounds_of(settings)), encoder, settings)
    images, queries = (live.counts.get(name, 0) for name in ("images", "queries"))
    seen = rate_of(lambda n: encoder.encode_images(np.stack(pixels[:n])), len(pixels))
    read = rate_of(lambda n: encoder.encode_texts(texts[:n]), len(texts))
    seconds = sum(count / rate for count, rate in ((images, seen), (queries, read)) if rate)
    return ModelChange(
        before=full_name(live.model),
        after=full_name(info),
        images=images,
        queries=queries,
        images_per_second=round(seen, 1),
        texts_per_second=round(read, 1),
        seconds=round(seconds, 1),
        vectors=4 * info.dimension * (images + queries),
        memory=bytes_of_weights(encoder),
        device=encoder.device,
    )


def _some(reader: Reader, encoder: Encoder, settings: Settings) -> tuple[list[Uint8], list[str]]:
    """The first pictures that can be decoded, as the model sees them, and the first texts."""
    pixels: list[Uint8] = []
    texts: list[str] = []
    rows: Iterator[Row] = (row for span in reader.spans() for row in reader.read(span))
    for row in itertools.islice(rows, _LOOKED_AT):
        if row.query and len(texts) < KEPT:
            texts.append(row.query)
        if row.image is None or row.defect is not None or len(pixels) == KEPT:
            continue
        size = (encoder.info.resolution, settings.max_image_pixels)
        try:
            found = decode_light(row.image, *size, square=encoder.square)
        except ImageError:
            continue
        if found is not None:
            pixels.append(found.pixels)
    return pixels, texts


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count < 1e9 else f"{count / 1e9:,.1f} GB"
