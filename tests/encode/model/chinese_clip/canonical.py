"""The first numbers of the sample model's vectors, so that no change of them goes unnoticed.

`python -m tests.encode.model.chinese_clip.canonical` rewrites `canonical.json`; do so only if
vectors are meant to change, and then change the version of the preprocessing or the weights too.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tasks.encode.model.load import load_encoder
from tasks.encode.model.locate import SAMPLE
from tasks.records import Uint8
from tests.encode.model.pictures import decode_image

FILE = Path(__file__).with_name("canonical.json")
TEXTS = ("熊猫", "骑自行车的人", "红色 T恤 2023 😀", "")
SHOWN = 8
DIGITS = 6


def numbers() -> dict[str, Any]:
    """The model, and the first values of a few texts' and pictures' vectors."""
    encoder = load_encoder(SAMPLE, "cpu")
    texts = encoder.encode_texts(TEXTS)
    pictures = pixels(encoder.info.resolution)
    images = encoder.encode_images(np.stack(list(pictures.values())))
    return {
        "weights": encoder.info.weights,
        "preprocessing": encoder.info.preprocessing,
        "dimension": encoder.info.dimension,
        "texts": {text: _shown(vector) for text, vector in zip(TEXTS, texts, strict=True)},
        "images": {name: _shown(vector) for name, vector in zip(pictures, images, strict=True)},
    }


def pixels(resolution: int) -> dict[str, Uint8]:
    """Pictures drawn by formula, through lossless files."""
    x, y = np.meshgrid(np.arange(224), np.arange(224))
    round_ = np.where((x - 112) ** 2 + (y - 112) ** 2 < 80**2, 255, 0)
    drawn = {
        "gradient": np.stack([x, y, 223 - x], axis=2),
        "red disc": np.stack([0 * x + 255, 255 - round_, 255 - round_], axis=2),
        "stripes": np.stack([x // 16 % 2 * 255] * 3, axis=2),
    }
    return {
        name: decode_image(_png(values.astype(np.uint8)), resolution, 10**6)
        for name, values in drawn.items()
    }


def _png(values: Uint8) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return file.getvalue()


def _shown(vector: Any) -> list[float]:
    return [round(float(value), DIGITS) for value in vector[:SHOWN]]


def main() -> None:
    """Rewrite the file."""
    FILE.write_text(json.dumps(numbers(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
