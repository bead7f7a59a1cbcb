"""Two models on one data set: the numbers are those of a plain ranking, gains are paired."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from tasks.context import Context
from tasks.encode.model.load import load_encoder
from tasks.errors import DatasetError, ModelError
from tasks.evaluate.compare import compare_models
from tasks.evaluate.metrics import METRICS
from tasks.settings import load_settings
from tests.encode.model.models import make_model
from tests.encode.model.pictures import decode_image
from tests.search.library import COUNT, WORDS, make_pictures


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("models")
    made = (make_model(folder / str(seed), "resnet-50", seed).folder for seed in (0, 1))
    first, second = map(str, made)
    return first, second


def test_both_are_measured_on_the_same_queries(
    context: Context, models: tuple[str, str], tmp_path: Path
) -> None:
    pictures = make_pictures(tmp_path / "pictures")
    (pictures / "5.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    settings = load_settings(device="cpu", precision="fp32")
    found = compare_models(context, models, f"folder:{pictures}", settings, sample=0)
    assert (found.images, found.gallery, found.unreadable) == (COUNT, COUNT - 1, 1)
    assert found.queries == len(WORDS) + 1
    for model, compared in zip(models, found.models, strict=True):
        assert compared.metrics["R@1"].value == pytest.approx(recall_at_1(model, pictures))
        assert (compared.model, compared.dimension, compared.format) == (model, 64, "fp32")
        assert compared.per_picture == 256
        assert compared.memory == 4 * compared.parameters
        assert compared.weights > compared.memory
    for name in METRICS:
        first, second = (each.metrics[name] for each in found.models)
        gain = found.gains[name]
        assert gain.value == pytest.approx(second.value - first.value)
        assert gain.low <= gain.value <= gain.high
    assert json.loads(json.dumps(asdict(found)))["gains"]["R@1"]["value"] == pytest.approx(
        found.gains["R@1"].value
    )


def recall_at_1(model: str, pictures: Path) -> float:
    """Share of queries whose best picture is one of theirs, worked out plainly."""
    encoder = load_encoder(model, "cpu", "fp32")
    numbers = [number for number in range(COUNT) if number != 5]
    side = encoder.info.resolution
    pixels = [
        decode_image((pictures / f"{number}.png").read_bytes(), side, 10**7) for number in numbers
    ]
    vectors = encoder.encode_images(np.stack(pixels))
    best = (encoder.encode_texts([*WORDS, "夏天 长款"]) @ vectors.T).argmax(axis=1)
    right = [numbers[n] % len(WORDS) == row for row, n in enumerate(best[:-1])]
    return float(np.mean([*right, numbers[best[-1]] == 0]))


def test_a_sample_asks_the_queries_of_its_pictures(
    context: Context, models: tuple[str, str], tmp_path: Path
) -> None:
    pictures = make_pictures(tmp_path / "pictures")
    settings = load_settings(device="cpu", precision="fp32")
    found = compare_models(context, models, f"folder:{pictures}", settings, sample=3)
    assert (found.gallery, found.queries) == (3, 4)
    for file in pictures.glob("*.png"):
        file.write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(DatasetError, match="has a picture among the 0 that were encoded"):
        compare_models(context, models, f"folder:{pictures}", settings, sample=3)
    with pytest.raises(ModelError, match="there is no model"):
        compare_models(context, (models[0], "none"), f"folder:{pictures}", settings)
