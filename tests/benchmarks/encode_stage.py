"""The encode stage, from files to Parquet, against a bare loop of the same model over tensors.

python -m tests.benchmarks.encode_stage FOLDER --images 10000

The bare loop has its pictures decoded in memory; the stage reads, decodes, makes thumbnails, writes
and marks. The last rows leave thumbnails out, and decode without any model.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tasks.encode.model.pixels import decode_picture
from tasks.encode.stage.workers import decoders_at_once
from tasks.settings import Settings
from tests.benchmarks.encode_setup import (
    LIMIT,
    TENSORS,
    Timing,
    bare_loop,
    bare_streams,
    encode_stage,
    load,
    machine,
    measure,
    options,
    read_jpegs,
    tensors,
    timed,
    write_pictures,
)


def main() -> None:
    """Print the table."""
    given = options("tests.benchmarks.encode_stage", __doc__).parse_args()
    dataset = write_pictures(given.folder, given.images)
    settings, encoder, batch = load(given)
    jpegs = read_jpegs(dataset, min(given.images, TENSORS))
    pixels = tensors(jpegs, encoder.info.resolution)
    steps: dict[str, dict[str, float]] = {}

    def stage(name: str, with_options: Settings) -> Timing:
        timing, steps[name] = encode_stage(dataset, with_options)
        return timing

    def decoding(thumbnail: int | None) -> Timing:
        side = encoder.info.resolution
        with ThreadPoolExecutor(decoders_at_once(0)) as pool:
            decode = partial(pool.map, lambda data: decode_picture(data, side, LIMIT, thumbnail))
            return timed(lambda: len(list(decode(jpegs))))

    bare = settings.model_copy(update={"picture": "none"})
    rates = measure(
        {
            "bare loop": lambda: bare_loop(encoder, pixels, batch, given.images),
            "bare loop, as many as cores": lambda: bare_streams(
                encoder, pixels, batch, given.images
            ),
            "encode stage": lambda: stage("encode stage", settings),
            "encode stage, no thumbnails": lambda: stage("encode stage, no thumbnails", bare),
            "decoding alone, all cores": lambda: decoding(None),
            "decoding and thumbnails, all cores": lambda: decoding(settings.thumbnail_pixels),
        },
        given.rounds,
    )
    print(machine())
    print(f"{given.images:,} JPEGs, {encoder.info.name}, {encoder.format}, batch {batch}")
    print(rates.table("bare loop"))
    for thumbnails in ("", ", no thumbnails"):
        decode = rates.median(
            "decoding alone, all cores" if thumbnails else "decoding and thumbnails, all cores"
        )
        bare_rate = rates.median("bare loop")
        model = max(bare_rate, rates.median("bare loop, as many as cores"))
        ceiling = 1 / (1 / model + 1 / decode) if encoder.device == "cpu" else min(model, decode)
        share = rates.median(f"encode stage{thumbnails}") / ceiling
        print(
            f"encode stage{thumbnails}: model and decoding together allow {ceiling:,.0f} a second "
            f"({ceiling / bare_rate:.2f} of the bare loop); reached {share:.2f} of that"
        )
    for name, done in steps.items():
        print(f"{name}: {', '.join(f'{step} {share:.2f}' for step, share in done.items())}")


if __name__ == "__main__":
    main()
