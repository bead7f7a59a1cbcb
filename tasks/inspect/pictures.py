"""Decode some or all pictures of a catalog: which are readable, their formats and sizes."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tasks.context import Context
from tasks.dataset.catalog import Catalog, CatalogEntry
from tasks.dataset.reader import Reader
from tasks.dataset.shards import read_images
from tasks.downloaded.reader import address_of
from tasks.downloaded.stage import ask_some
from tasks.encode.model.decoding import DecodeLimits, Decoders, Decoding, decode_bounded
from tasks.encode.model.pixels import squash
from tasks.encode.stage.oddities import SAID, oddity_of
from tasks.errors import ImageError
from tasks.records import Uint8
from tasks.settings import Settings

RUN = 25  # consecutive pictures of a sample: they lie close together
KEPT = 32  # decoded pictures kept to time a model with
EXAMPLES = 5
SIZES_SHOWN = 8
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class PictureProfile:
    """What decoding `checked` of the pictures showed.

    `unreadable` counts by reason, `odd` pictures of one colour (placeholders) and those squashed by
    more than 1:8 (nothing of them can be recognised), with `examples` of both; sizes are
    "WIDTHxHEIGHT" in pixels, the most frequent first; `thumbnail_bytes` is the mean of the JPEG
    that a document would carry (0 if it carries none).
    """

    checked: int
    unreadable: dict[str, int]
    odd: dict[str, int]
    examples: tuple[str, ...]
    formats: dict[str, int]
    sizes: dict[str, int]
    mean_bytes: float
    largest_bytes: int
    thumbnail_bytes: float
    per_second: float


@dataclass
class CheckedPictures:
    """What decoding has shown so far; `pixels` (R, R, 3) are the first pictures."""

    count: int = 0
    bytes: int = 0
    largest: int = 0
    thumbnails: int = 0
    seconds: float = 0.0
    unreadable: Counter[str] = field(default_factory=Counter)
    odd: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    odd_examples: list[str] = field(default_factory=list)
    pixels: list[Uint8] = field(default_factory=list)

    def refuse(self, code: str, entry: CatalogEntry, reason: str) -> None:
        """Count a picture as unreadable."""
        self.unreadable[code] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(f"{entry.position}: image {entry.image_id}: {reason}")

    def profile(self) -> PictureProfile:
        """The numbers, with rare sizes counted together."""
        shown = dict(self.sizes.most_common(SIZES_SHOWN))
        if others := self.sizes.total() - sum(shown.values()):
            shown["other"] = others
        readable = self.count - self.unreadable.total()
        return PictureProfile(
            checked=self.count,
            unreadable=dict(self.unreadable.most_common()),
            odd=dict(self.odd.most_common()),
            examples=(*self.examples, *self.odd_examples),
            formats=dict(self.formats.most_common()),
            sizes=shown,
            mean_bytes=round(self.bytes / max(1, self.count), 1),
            largest_bytes=self.largest,
            thumbnail_bytes=round(self.thumbnails / max(1, readable), 1),
            per_second=round(self.count / self.seconds, 1) if self.seconds else 0.0,
        )


def check_pictures(
    context: Context,
    catalog: Catalog,
    reader: Reader,
    settings: Settings,
    resolution: int,
    sample: int,
) -> CheckedPictures:
    """Decode `sample` pictures evenly over the data set (0: all) as indexing would."""
    images, checked = catalog.counts().images, CheckedPictures()
    thumbnail = settings.thumbnail_pixels if settings.picture == "jpeg" else None
    limit = settings.max_image_pixels
    decoding = Decoding(resolution, limit, thumbnail, upright=settings.upright)
    with (
        context.stage("check_pictures", min(images, sample) if sample else images) as advance,
        Decoders(DecodeLimits(settings.decode_seconds)) as heavy,
    ):
        for entries in sampled(catalog, images, sample):
            for entry, data in _downloaded(read_images(reader, entries), settings, checked):
                _check(checked, entry, data, decoding, heavy)
            advance(len(entries))
    return checked


def _downloaded(
    pictures: Iterator[tuple[CatalogEntry, bytes]], settings: Settings, found: CheckedPictures
) -> Iterator[tuple[CatalogEntry, bytes]]:
    """The pictures, with those that addresses stand for asked now; what fails counts as
    unreadable."""
    while some := list(itertools.islice(pictures, RUN)):
        addresses = [address_of(data) for _, data in some]
        answers = ask_some(filter(None, addresses), settings) if any(addresses) else {}
        for (entry, data), address in zip(some, addresses, strict=True):
            if not address:
                yield entry, data
            elif (content := answers[address].content) is not None:
                yield entry, content
            else:
                answer = answers[address]
                found.count += 1
                found.refuse(f"download_{answer.cause}", entry, f"{address}: {answer.reason}")


def _check(
    found: CheckedPictures, entry: CatalogEntry, data: bytes, decoding: Decoding, heavy: Decoders
) -> None:
    found.count += 1
    found.bytes += len(data)
    found.largest = max(found.largest, len(data))
    began = time.perf_counter()
    try:
        picture = decode_bounded(data, decoding, squash, heavy)
    except ImageError as error:
        found.refuse(error.code, entry, str(error))
        return
    finally:
        found.seconds += time.perf_counter() - began
    if oddity := oddity_of(picture):
        found.odd[oddity] += 1
        if found.odd[oddity] == 1:
            said = f"{entry.position}: image {entry.image_id}: {SAID[oddity]}"
            found.odd_examples.append(said)
    found.formats[picture.format] += 1
    found.sizes[f"{picture.width}x{picture.height}"] += 1
    found.thumbnails += len(picture.thumbnail or b"")
    if len(found.pixels) < KEPT:
        found.pixels.append(picture.pixels)


def sampled(catalog: Catalog, images: int, sample: int) -> Iterator[list[CatalogEntry]]:
    """Runs of up to `RUN` consecutive images that begin evenly over the data set; all images if
    there are no more than `sample`, or it is 0."""
    entries, taken = catalog.entries(), 0
    if not sample or images <= sample:
        while part := list(itertools.islice(entries, _AT_ONCE)):
            yield part
        return
    runs, place = -(-sample // RUN), 0
    for number in range(runs):
        begin = max(place, images * number // runs)
        length = min(RUN, sample - taken)
        yield list(itertools.islice(entries, begin - place, begin - place + length))
        place, taken = begin + length, taken + length
