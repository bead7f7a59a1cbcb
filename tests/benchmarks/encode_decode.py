"""Decoding and resizing alone, by what is made of a picture and by how many threads.

python -m tests.benchmarks.encode_decode FOLDER --images 1000

Once with the data set's 224 px JPEGs, once with the same pictures at 800 px.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from tasks.encode.model.pixels import decode_picture, picture_png
from tasks.encode.stage.workers import decoders_at_once
from tests.benchmarks.encode_setup import (
    LIMIT,
    Timing,
    machine,
    measure,
    options,
    read_jpegs,
    timed,
    write_pictures,
)

LARGE = 800  # pixels
FEW = 10  # large ones take so many times longer


def enlarged(data: bytes) -> bytes:
    """The picture with sides of 800 px."""
    with Image.open(io.BytesIO(data)) as image:
        file = io.BytesIO()
        image.resize((LARGE, LARGE), Image.Resampling.BICUBIC).save(file, "JPEG", quality=85)
        return file.getvalue()


def main() -> None:
    """Print a table for each size of pictures."""
    parser = options("tests.benchmarks.encode_decode", __doc__, 1000)
    parser.add_argument("--side", type=int, default=224, help="what the model sees, pixels")
    given = parser.parse_args()
    small = read_jpegs(write_pictures(given.folder, given.images), given.images)
    side, cores = given.side, decoders_at_once(0)

    def way(
        decode: Callable[[bytes], object], jpegs: list[bytes], threads: int
    ) -> Callable[[], Timing]:
        def run() -> Timing:
            with ThreadPoolExecutor(threads) as pool:
                return timed(lambda: len(list(pool.map(decode, jpegs))))

        return run

    print(machine())
    for name, jpegs in (("224 px", small), (f"{LARGE} px", [*map(enlarged, small[::FEW])])):
        kinds: dict[str, Callable[[bytes], object]] = {
            "pixels": lambda data: decode_picture(data, side, LIMIT),
            "pixels, draft": lambda data: decode_picture(data, side, LIMIT, draft=True),
            "pixels and thumbnail": lambda data: decode_picture(data, side, LIMIT, 160),
            "PNG of the original size": lambda data: picture_png(data, LIMIT),
        }
        ways = {
            f"{kind}, {threads} threads": way(decode, jpegs, threads)
            for kind, decode in kinds.items()
            for threads in sorted({1, cores})
        }
        size = sum(map(len, jpegs)) / len(jpegs) / 1000
        print(f"\n{len(jpegs):,} JPEGs of {name} ({size:.1f} kB) to {side} px")
        print(measure(ways, given.rounds).table("pixels, 1 threads"))


if __name__ == "__main__":
    main()
