"""The sample model gives the vectors it always gave, and the original class gives the same."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from tasks.encode.model.chinese_clip.layout import WEIGHTS_FILE
from tasks.encode.model.load import load_encoder
from tasks.encode.model.locate import SAMPLE, locate_model
from tests.encode.model.chinese_clip.canonical import FILE, TEXTS, numbers, pixels
from tests.encode.model.chinese_clip.test_parity import original_images, original_texts
from tests.encode.model.models import TinyModel, load_original

FOLDER = locate_model(SAMPLE).path

pytestmark = pytest.mark.skipif(
    not (FOLDER / WEIGHTS_FILE).exists(), reason="the sample model is not there"
)


@pytest.mark.skipif(
    not FILE.exists(), reason="python -m tests.encode.model.chinese_clip.canonical was not run"
)
def test_numbers_are_the_canonical_ones() -> None:
    expected, found = json.loads(FILE.read_text(encoding="utf-8")), numbers()
    for name in ("weights", "preprocessing", "dimension"):
        assert found[name] == expected[name]
    for kind in ("texts", "images"):
        assert list(found[kind]) == list(expected[kind])
        for name, values in expected[kind].items():
            np.testing.assert_allclose(found[kind][name], values, rtol=0, atol=1e-4)


@pytest.fixture(scope="module")
def original() -> TinyModel:
    model = load_original(FOLDER)
    content = torch.load(FOLDER / WEIGHTS_FILE)
    state = content.get("state_dict", content)
    state = {
        name.removeprefix("module.").removeprefix("clip_model."): state[name] for name in state
    }
    model.original.load_state_dict(state)
    return model


def test_sample_vectors_are_the_originals(original: TinyModel) -> None:
    encoder = load_encoder(SAMPLE, "cpu")
    pictures = np.stack(list(pixels(encoder.info.resolution).values()))
    images, texts = encoder.encode_images(pictures), encoder.encode_texts(TEXTS)
    np.testing.assert_allclose(images, original_images(original, pictures), rtol=0, atol=1e-5)
    np.testing.assert_allclose(texts, original_texts(original, TEXTS), rtol=0, atol=1e-5)
