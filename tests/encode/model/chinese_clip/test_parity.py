"""Vectors equal those of ModelScope's own class, in float32, for every kind of model."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tasks.encode.model.chinese_clip.encoder import (
    PIXEL_DEVIATION,
    PIXEL_MEAN,
)
from tasks.encode.model.contract import Encoder
from tasks.encode.model.load import load_encoder
from tasks.records import Float32, Uint8
from tests.encode.model.models import FAMILY, TinyModel, read_state, write_json

Tiny = Callable[[str], TinyModel]
TEXTS = (
    "一只猫",
    "红色连衣裙女新款2023",
    "hello dressing 世界",
    "",
    "unable " * 60,
    "很长" * 60,
    "😀🥹 “中国” ㊗️",
)


@pytest.mark.parametrize("family", FAMILY)
def test_images(tiny: Tiny, family: str) -> None:
    model = tiny(family)
    pixels = pictures(4, model.resolution)
    ours = load_fp32(model).encode_images(pixels)
    theirs = original_images(model, pixels)
    assert spread(theirs) > 0.02, "pictures too alike to tell towers apart"
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("family", FAMILY)
def test_texts(tiny: Tiny, family: str) -> None:
    model = tiny(family)
    ours = load_fp32(model).encode_texts(TEXTS)
    theirs = original_texts(model, TEXTS)
    assert spread(theirs) > 0.02
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "prefix", ["", "module.", "clip_model.", "module.clip_model.", "clip_model.module."]
)
@pytest.mark.parametrize("wrapped", [True, False])
def test_every_spelling_of_a_checkpoint(own: Tiny, tiny: Tiny, prefix: str, wrapped: bool) -> None:
    model = own("vit-b")
    state = {prefix + name: value for name, value in read_state(model.folder).items()}
    content = {"state_dict": state, "epoch": 3} if wrapped else state
    torch.save(content, model.folder / "pytorch_model.bin")
    ours = load_fp32(model).encode_texts(["猫"])
    np.testing.assert_array_equal(ours, load_fp32(tiny("vit-b")).encode_texts(["猫"]))


def test_half_precision_weights_are_used_in_full_precision(own: Tiny) -> None:
    model = own("resnet")
    half = {
        name: value.half() if value.is_floating_point() else value
        for name, value in read_state(model.folder).items()
    }
    torch.save(half, model.folder / "pytorch_model.bin")
    model.original.load_state_dict(half)
    pixels = pictures(2, model.resolution)
    encoder = load_fp32(model)
    np.testing.assert_allclose(
        encoder.encode_images(pixels), original_images(model, pixels), rtol=0, atol=1e-5
    )
    np.testing.assert_allclose(
        encoder.encode_texts(TEXTS), original_texts(model, TEXTS), rtol=0, atol=1e-5
    )


def test_what_training_alone_needs_may_be_missing(own: Tiny) -> None:
    model = own("resnet")
    before = load_fp32(model).encode_texts(TEXTS)
    kept = {
        name: value
        for name, value in read_state(model.folder).items()
        if not name.startswith("bert.pooler.")
        and name != "logit_scale"
        and not name.endswith("num_batches_tracked")
    }
    kept["bert.embeddings.position_ids"] = torch.arange(64)[None]
    torch.save(kept, model.folder / "pytorch_model.bin")
    after = load_fp32(model).encode_texts(TEXTS)
    np.testing.assert_array_equal(before, after)


def test_head_width_is_read_from_the_file(own: Tiny) -> None:
    """Heads of 64 in place of ViT-H's 80 load just as well, and give other vectors."""
    model = own("vit-h")
    pixels = pictures(2, 224)
    right = load_fp32(model).encode_images(pixels)
    file = model.folder / "vision_model_config.json"
    write_json(file, {**json.loads(file.read_text()), "vision_head_width": 40})
    wrong = load_fp32(model).encode_images(pixels)
    assert np.abs(right - wrong).max() > 1e-2


def test_padding_does_not_change_a_text(tiny: Tiny) -> None:
    encoder = load_fp32(tiny("vit-l"))
    alone = np.concatenate([encoder.encode_texts([text]) for text in TEXTS])
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), alone, rtol=0, atol=5e-7)


def test_order_of_texts_is_kept(tiny: Tiny) -> None:
    encoder = load_fp32(tiny("resnet"))
    texts = [f"{'猫' * (number * 7 % 23)}{number}" for number in range(150)]
    rows = [0, 17, 64, 149]
    some = encoder.encode_texts([texts[row] for row in rows])
    np.testing.assert_allclose(encoder.encode_texts(texts)[rows], some, rtol=0, atol=5e-7)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("family", FAMILY)
def test_a_gpu_in_half_precision_gives_nearly_the_same(tiny: Tiny, family: str) -> None:
    folder = str(tiny(family).folder)
    pixels = pictures(4, tiny(family).resolution)
    cpu, gpu = load_fp32(tiny(family)), load_encoder(folder, "cuda")
    assert gpu.device == "cuda:0"
    images = (cpu.encode_images(pixels) * gpu.encode_images(pixels)).sum(axis=1)
    texts = (cpu.encode_texts(TEXTS) * gpu.encode_texts(TEXTS)).sum(axis=1)
    assert min(images.min(), texts.min()) > 0.99


def load_fp32(model: TinyModel) -> Encoder:
    return load_encoder(str(model.folder), "cpu", "fp32")


def pictures(count: int, side: int) -> Uint8:
    """Pictures that differ in colours and shapes, not only in noise."""
    random = np.random.default_rng(side)
    coarse = random.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    index = np.arange(side) * 4 // side
    return np.ascontiguousarray(coarse[:, index][:, :, index])


def original_images(model: TinyModel, pixels: Uint8) -> Float32:
    scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    mean = torch.tensor(PIXEL_MEAN).view(3, 1, 1)
    deviation = torch.tensor(PIXEL_DEVIATION).view(3, 1, 1)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _unit(model.original.encode_image((scaled - mean) / deviation))


def original_texts(model: TinyModel, texts: Sequence[str]) -> Float32:
    """As the original's preprocessor: cut to 50 tokens, padded with 0 to 52."""
    words = model.tokenizer.vocab
    ids = torch.zeros(len(texts), 52, dtype=torch.long)
    for row, text in enumerate(texts):
        tokens = model.tokenizer.convert_tokens_to_ids(model.tokenizer.tokenize(text))[:50]
        tokens = [words["[CLS]"], *tokens, words["[SEP]"]]
        ids[row, : len(tokens)] = torch.tensor(tokens)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _unit(model.original.encode_text(ids))


def spread(vectors: Float32) -> float:
    """The smallest of the largest differences between any two vectors."""
    pairs = np.abs(vectors[:, None] - vectors[None]).max(axis=2)
    return float(pairs[~np.eye(len(vectors), dtype=bool)].min())


def _unit(features: torch.Tensor) -> Float32:
    vectors: Float32 = F.normalize(features, dim=-1).numpy()
    return vectors
