"""Texts without torch: the vectors of torch's tower for every kind of model and form of its files,
and whatever is doubtful is left to torch."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tasks.encode.model.chinese_clip.family import ChineseClipFamily
from tasks.encode.model.chinese_clip.text_in_numpy import TextInNumpy, erf
from tasks.encode.model.contract import ModelFolder
from tasks.encode.model.families import family_of
from tasks.encode.model.load import load_encoder
from tasks.encode.model.locate import locate_model
from tasks.encode.model.safetensors_file import write_tensors
from tasks.errors import ModelError
from tests.encode.model.chinese_clip.test_forms import (
    Checkpoint,
    checkpoint,
    hugging_face,
    tiny_widths,
    tried,
)
from tests.encode.model.chinese_clip.test_parity import TEXTS
from tests.encode.model.models import FAMILY, TinyModel, read_state, vocabulary, write_json

__all__ = ["checkpoint", "tiny_widths"]

Tiny = Callable[[str], TinyModel]
CLOSE = 2e-6


def many_texts(count: int) -> list[str]:
    """Texts of 0 to 60 words, some of which are unknown."""
    random = np.random.default_rng(1)
    words = [*vocabulary()[30:], "鿿", "unbekannt", "🦕"]
    lengths = random.integers(0, 61, count)
    return [*TEXTS, "猫", *("".join(random.choice(words, length)) for length in lengths)]


def texts_alone(model: str | Path) -> TextInNumpy | None:
    """What encodes texts without torch, None if the family leaves them to torch."""
    folder = locate_model(str(model))
    family = family_of(folder.path)
    assert isinstance(family, ChineseClipFamily)
    found = family.load_texts(folder, family.describe(folder))
    assert found is None or isinstance(found, TextInNumpy)
    return found


def check_same(model: str | Path, count: int = 20) -> None:
    alone = texts_alone(model)
    assert alone is not None
    texts = many_texts(count)
    ours, right = alone.encode_texts(texts), load_encoder(str(model), "cpu", "fp32")
    assert ours.dtype == np.float32
    assert alone.format == right.format
    np.testing.assert_allclose(ours, right.encode_texts(texts), rtol=0, atol=CLOSE)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, rtol=0, atol=1e-6)


@pytest.mark.parametrize("family", FAMILY)
def test_vectors_are_those_of_torch(tiny: Tiny, family: str) -> None:
    check_same(tiny(family).folder, 300 if family in ("vit-h", "resnet") else 20)


def test_vectors_of_the_sample_are_those_of_torch() -> None:
    check_same("sample", 60)


def test_nothing_gives_nothing() -> None:
    alone = texts_alone("sample")
    assert alone is not None
    assert alone.encode_texts([]).shape == (0, alone.info.dimension)


@pytest.mark.parametrize("family", tried(FAMILY))
def test_a_checkpoint_of_cn_clip(checkpoint: Checkpoint, family: str) -> None:
    check_same(checkpoint(family).file)


@pytest.mark.parametrize("how", ["whole", "sharded", "pickled"])
def test_a_folder_of_transformers(tmp_path: Path, how: str) -> None:
    shard = "400KB" if how == "sharded" else "5GB"
    check_same(hugging_face(tmp_path / "model", "vit-b", shard, how == "pickled").folder)


def saved_as(folder: Path, state: dict[str, Tensor]) -> None:
    torch.save(state, folder / "pytorch_model.bin")


def in_safetensors(folder: Path, state: dict[str, Tensor]) -> None:
    (folder / "pytorch_model.bin").unlink()
    write_tensors(folder / "model.safetensors", state)


def each_as(change: Callable[[Tensor], Tensor]) -> Callable[[Path, dict[str, Tensor]], None]:
    def save(folder: Path, state: dict[str, Tensor]) -> None:
        saved_as(folder, {n: change(t) if t.is_floating_point() else t for n, t in state.items()})

    return save


def wrapped(folder: Path, state: dict[str, Tensor]) -> None:
    saved_as(folder, {f"module.clip_model.{name}": value for name, value in state.items()})


def as_parts_of_one(folder: Path, state: dict[str, Tensor]) -> None:
    """Vectors lie one after the other in one storage, and are parameters."""
    flat = {name: value for name, value in state.items() if value.ndim == 1}
    joined, start = torch.cat(list(flat.values())), 0
    for name, value in flat.items():
        state[name] = torch.nn.Parameter(joined[start : start + len(value)])
        start += len(value)
    saved_as(folder, state)


READ: dict[str, Callable[[Path, dict[str, Tensor]], None]] = {
    "safetensors": in_safetensors,
    "half precision": each_as(Tensor.half),
    "double precision": each_as(Tensor.double),
    "wrapped": wrapped,
    "parts of one": as_parts_of_one,
}


@pytest.mark.parametrize("how", READ)
def test_ways_to_save_the_same(own: Tiny, how: str) -> None:
    folder = own("vit-h").folder
    READ[how](folder, read_state(folder))
    check_same(folder)


def with_text(change: Callable[[dict[str, Any]], object]) -> Callable[[Path, Any], None]:
    def save(folder: Path, state: dict[str, Any]) -> None:
        change(state)
        saved_as(folder, state)

    return save


def older(folder: Path, state: dict[str, Tensor]) -> None:
    torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)


LAYER = "bert.encoder.layer.{}.output.dense.weight"
LEFT: dict[str, tuple[Callable[[Path, Any], None], str]] = {
    "bf16": (each_as(Tensor.bfloat16), ""),
    "older file": (older, ""),
    "turned": (
        with_text(lambda s: s.update(text_projection=s["text_projection"].T.contiguous().T)),
        "",
    ),
    "missing": (with_text(lambda s: s.pop("text_projection")), "1 tensors missing"),
    "one layer more": (
        with_text(lambda s: s.update({LAYER.format(9): s[LAYER.format(0)]})),
        "1 tensors unknown",
    ),
    "shape": (
        with_text(lambda s: s.update({LAYER.format(0): s[LAYER.format(0)].T.contiguous()})),
        "has shape",
    ),
    "whole numbers": (
        with_text(lambda s: s.update(text_projection=s["text_projection"].int())),
        "expected floating point numbers",
    ),
    "sparse": (
        with_text(lambda s: s.update(text_projection=s["text_projection"].to_sparse())),
        "save it with tensor.to_dense",
    ),
    "no tensors": (with_text(lambda s: s.update(bert=[1, "a"])), "expected named tensors only"),
}


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("what", LEFT)
def test_what_is_left_to_torch(own: Tiny, what: str) -> None:
    folder = own("vit-b").folder
    spoil, said = LEFT[what]
    spoil(folder, read_state(folder))
    assert texts_alone(folder) is None
    if said:
        with pytest.raises(ModelError, match=said):
            load_encoder(str(folder), "cpu", "fp32")
    else:
        assert load_encoder(str(folder), "cpu", "fp32").encode_texts(["猫"]).shape == (1, 64)


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0])
def test_weights_that_are_no_numbers(own: Tiny, value: float) -> None:
    folder = own("vit-b").folder
    saved_as(folder, {**read_state(folder), "text_projection": torch.full((48, 64), value)})
    alone = texts_alone(folder)
    assert alone is not None
    with pytest.raises(ModelError, match="its weights are zeros or no numbers") as ours:
        alone.encode_texts(["红色连衣裙"])
    with pytest.raises(ModelError) as right:
        load_encoder(str(folder), "cpu", "fp32")
    assert str(ours.value) == str(right.value)


def test_words_that_do_not_fit(own: Tiny) -> None:
    folder = own("vit-b").folder
    (folder / "vocab.txt").write_text("\n".join([*vocabulary(), "更多"]) + "\n", "utf-8")
    with pytest.raises(ModelError, match="does not fit the embedding table"):
        texts_alone(folder)


def test_a_table_that_does_not_fit_its_configuration(own: Tiny) -> None:
    folder = own("vit-b").folder
    state = read_state(folder)
    name = "bert.embeddings.word_embeddings.weight"
    saved_as(folder, {**state, name: state[name][:-1].clone()})
    assert texts_alone(folder) is None


def test_a_file_that_changes_beneath_it(own: Tiny) -> None:
    folder = own("vit-b").folder
    alone = texts_alone(folder)
    assert alone is not None
    with (folder / "pytorch_model.bin").open("r+b") as file:
        file.truncate(9000)
    with pytest.raises(ModelError, match="was changed while it was read"):
        alone.encode_texts(["猫"])
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        alone.encode_texts(["猫"])


def test_other_segments_and_positions_are_not_asked_for(own: Tiny) -> None:
    """Whatever they hold, a text has one segment, and positions from 0 on."""
    folder = own("vit-b").folder
    state = read_state(folder)
    alone = texts_alone(folder)
    assert alone is not None
    before = alone.encode_texts(TEXTS)
    for name, first in (("token_type", 1), ("position", 52)):
        state[f"bert.embeddings.{name}_embeddings.weight"][first:] = math.nan
    saved_as(folder, state)
    alone = texts_alone(folder)
    assert alone is not None
    np.testing.assert_array_equal(alone.encode_texts(TEXTS), before)


def test_weights_of_a_hub_may_lie_twice(own: Tiny) -> None:
    folder = own("vit-b").folder
    write_tensors(folder / "model.safetensors", read_state(folder))
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    family = ChineseClipFamily()
    with pytest.raises(ModelError, match="two kinds of weights"):
        family.load_texts(ModelFolder("a/b", "", folder), family.describe(locate_model("sample")))
    hub = ModelFolder("a/b", "v1", folder)
    alone = family.load_texts(hub, family.describe(hub))
    assert alone is not None
    assert alone.encode_texts(["猫"]).shape == (1, 64)


def test_the_error_function() -> None:
    values = np.concatenate([np.linspace(-7, 7, 20_001), [0, 1e-9, -1e300, 1e300]])
    right = np.array([math.erf(value) for value in values])
    np.testing.assert_allclose(erf(values), right, rtol=0, atol=1e-10)


def test_a_configuration_alone_changes_the_heads(own: Tiny) -> None:
    folder = own("vit-b").folder
    before = load_encoder(str(folder), "cpu", "fp32").encode_texts(TEXTS)
    said = (folder / "text_model_config.json").read_text()
    write_json(
        folder / "text_model_config.json",
        {**json.loads(said), "text_num_attention_heads": 4},
    )
    check_same(folder)
    alone = texts_alone(folder)
    assert alone is not None
    assert np.abs(alone.encode_texts(TEXTS) - before).max() > 1e-3
