"""What is wrong with a model's files is said in one line that names the file; nothing is run."""

from __future__ import annotations

import json
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.encode.model.chinese_clip.checkpoint import fill, read_weights
from tasks.encode.model.chinese_clip.layout import MODEL_FILES, read_layout
from tasks.encode.model.chinese_clip.towers import ChineseClip
from tasks.encode.model.load import load_encoder
from tasks.errors import ModelError
from tests.encode.model.models import TinyModel, read_state, write_json

Own = Callable[[str], TinyModel]


def error_of(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_encoder(str(folder), "cpu")
    message = str(caught.value)
    assert "\n" not in message
    return message


def change(folder: Path, file: str, **values: Any) -> None:
    """Set values of a JSON file; ... takes a value out."""
    old = json.loads((folder / file).read_text())
    new = {name: value for name, value in {**old, **values}.items() if value is not ...}
    write_json(folder / file, new)


def save(folder: Path, state: Any) -> None:
    torch.save(state, folder / "pytorch_model.bin")


@pytest.mark.parametrize("family", ["vit-b", "resnet"])
def test_every_needed_tensor_is_missed(own: Own, family: str) -> None:
    folder = own(family).folder
    state = read_state(folder)
    unused = ("bert.pooler.dense.weight", "bert.pooler.dense.bias", "logit_scale")
    model = ChineseClip(read_layout(folder))
    for name in state:
        if name in unused or name.endswith("num_batches_tracked"):
            continue
        others = {other: value for other, value in state.items() if other != name}
        with pytest.raises(ModelError, match=rf"weights.bin .* missing \({re.escape(name)}\)"):
            fill(model, others, Path("weights.bin"), torch.device("cpu"), torch.float32)


@pytest.mark.parametrize(
    "name",
    [
        "bert.encoder.layer.9.output.dense.bias",
        "visual.transformer.resblocks.0.attn.extra",
        "bert.pooler.dense.scale",
        "visual.transformer.num_batches_tracked",
        "module.logit_scale",
    ],
)
def test_an_unknown_tensor_is_named(own: Own, name: str) -> None:
    folder = own("vit-b").folder
    save(folder, read_state(folder) | {name: torch.zeros(3)})
    message = error_of(folder)
    assert name in message
    assert "unknown" in message


def test_every_wrong_shape_is_named(own: Own) -> None:
    folder = own("vit-b").folder
    state = read_state(folder)
    for name in (
        "bert.encoder.layer.1.attention.self.key.weight",
        "visual.proj",
        "visual.ln_pre.bias",
    ):
        save(folder, state | {name: torch.zeros(7, *state[name].shape[1:])})
        message = error_of(folder)
        assert f"{name} has shape (7" in message
        assert "pytorch_model.bin" in message


def test_query_key_and_value_of_compensating_shapes_are_refused(own: Own) -> None:
    """Joined they would have the right size."""
    folder = own("vit-b").folder
    state = read_state(folder)
    stem = "bert.encoder.layer.0.attention.self"
    state[f"{stem}.query.bias"], state[f"{stem}.key.bias"] = torch.zeros(47), torch.zeros(49)
    save(folder, state)
    assert f"{stem}.query.bias has shape (47,), expected (48,)" in error_of(folder)


def test_whole_numbers_are_not_weights(own: Own) -> None:
    folder = own("vit-b").folder
    state = read_state(folder)
    save(folder, state | {"visual.proj": torch.zeros_like(state["visual.proj"], dtype=torch.int8)})
    assert "visual.proj holds torch.int8" in error_of(folder)


class Trap:
    """A pickle that writes a file when it is opened."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.file, "run"))


@pytest.mark.parametrize("how", ["torch", "torch, old format", "pickle"])
def test_a_pickle_that_runs_code_is_refused(own: Own, tmp_path: Path, how: str) -> None:
    folder = own("vit-b").folder
    content = {"state_dict": read_state(folder) | {"extra": Trap(tmp_path / "proof")}}
    file = folder / "pytorch_model.bin"
    if how == "pickle":
        file.write_bytes(pickle.dumps(content["state_dict"]["extra"]))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=how == "torch")
    message = error_of(folder)
    assert "nothing of it was run" in message
    assert str(file) in message
    assert not (tmp_path / "proof").exists()
    pickle.loads(pickle.dumps(Trap(tmp_path / "proof")))
    assert (tmp_path / "proof").exists(), "the trap itself must work"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a checkpoint",
        b"PK\3\4 not a zip",
        pickle.dumps([1, 2, 3]),
        pickle.dumps({"a": 1}),
    ],
)
def test_other_files_are_not_weights(own: Own, content: bytes) -> None:
    folder = own("vit-b").folder
    (folder / "pytorch_model.bin").write_bytes(content)
    assert "pytorch_model.bin" in error_of(folder)


@pytest.mark.parametrize("content", [[torch.zeros(3)], {}, {"a": 1}, {"state_dict": {"a": "b"}}])
def test_other_contents_are_not_weights(own: Own, content: Any) -> None:
    folder = own("vit-b").folder
    save(folder, content)
    assert "expected named tensors" in error_of(folder)


def test_cut_weights_are_refused(own: Own) -> None:
    file = own("vit-b").folder / "pytorch_model.bin"
    data = file.read_bytes()
    for keep in (100, len(data) // 2, len(data) - 100):
        file.write_bytes(data[:keep])
        assert "pytorch_model.bin" in error_of(file.parent)


def test_weights_in_the_old_file_format_are_read(own: Own) -> None:
    folder = own("vit-b").folder
    before = load_encoder(str(folder), "cpu").encode_texts(["猫"])
    file = folder / "pytorch_model.bin"
    torch.save(read_state(folder), file, _use_new_zipfile_serialization=False)
    assert (load_encoder(str(folder), "cpu").encode_texts(["猫"]) == before).all()


@pytest.mark.parametrize("zipped", [True, False])
def test_mapped_weights_are_the_same(own: Own, zipped: bool) -> None:
    folder = own("vit-b").folder
    file = folder / "pytorch_model.bin"
    torch.save(read_state(folder), file, _use_new_zipfile_serialization=zipped)
    plain, mapped = read_weights(file), read_weights(file, mapped=True)
    assert plain.keys() == mapped.keys()
    assert all(torch.equal(plain[name], mapped[name]) for name in plain)


@pytest.mark.parametrize("content", [b"", b"PK no zip", pickle.dumps([1])])
def test_mapped_files_that_are_no_weights(own: Own, content: bytes) -> None:
    file = own("vit-b").folder / "pytorch_model.bin"
    file.write_bytes(content)
    with pytest.raises(ModelError, match=r"pytorch_model\.bin"):
        read_weights(file, mapped=True)


@pytest.mark.parametrize(
    "file", ["vision_model_config.json", "text_model_config.json", "vocab.txt", "pytorch_model.bin"]
)
def test_a_missing_file_is_named(own: Own, file: str) -> None:
    folder = own("vit-b").folder
    (folder / file).unlink()
    assert str(folder / file) in error_of(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"\xff\xfe", b"[" * 100_000])
@pytest.mark.parametrize("file", ["vision_model_config.json", "configuration.json"])
def test_broken_json_is_named(own: Own, file: str, content: bytes) -> None:
    folder = own("vit-b").folder
    (folder / file).write_bytes(content)
    assert str(folder / file) in error_of(folder)


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("vision_model_config.json", {"embed_dim": ...}),
        ("vision_model_config.json", {"image_resolution": "224"}),
        ("vision_model_config.json", {"image_resolution": 8}),
        ("vision_model_config.json", {"vision_width": 0}),
        ("vision_model_config.json", {"vision_patch_size": None}),
        ("vision_model_config.json", {"vision_layers": "[1, 2, 3]"}),
        ("vision_model_config.json", {"vision_layers": "__import__('os')"}),
        ("vision_model_config.json", {"vision_layers": [1, 2, 3, True]}),
        ("vision_model_config.json", {"vision_layers": 1.5}),
        ("vision_model_config.json", {"vision_head_width": 77}),
        ("text_model_config.json", {"vocab_size": ...}),
        ("text_model_config.json", {"text_num_attention_heads": 7}),
        ("text_model_config.json", {"text_hidden_act": "relu"}),
        ("text_model_config.json", {"text_max_position_embeddings": 32}),
        ("text_model_config.json", {"text_num_hidden_layers": True}),
        ("configuration.json", {"model": {"type": "ofa"}}),
        ("configuration.json", {"model": "clip"}),
    ],
)
def test_a_wrong_value_is_named(own: Own, file: str, values: dict[str, Any]) -> None:
    folder = own("vit-b").folder
    change(folder, file, **values)
    message = error_of(folder)
    assert str(folder / file) in message
    name = next(iter(values))
    assert name in message
    assert "expected" in message


def test_a_wrong_number_of_words_is_named(own: Own) -> None:
    folder = own("vit-b").folder
    with (folder / "vocab.txt").open("a", encoding="utf-8") as file:
        file.write("更多\n")
    assert str(folder / "vocab.txt") in error_of(folder)
    assert "vocab_size" in error_of(folder)


def test_a_configuration_of_another_size_does_not_fit(own: Own) -> None:
    folder = own("vit-b").folder
    change(folder, "vision_model_config.json", vision_layers=3)
    assert "visual.transformer.resblocks.2." in error_of(folder)
    change(folder, "vision_model_config.json", vision_layers=1)
    assert "visual.transformer.resblocks.1." in error_of(folder)


def test_configuration_json_may_be_missing(own: Own) -> None:
    folder = own("vit-b").folder
    (folder / "configuration.json").unlink()
    assert read_layout(folder).dimension == 64


def test_lists_of_layers_may_be_strings(own: Own) -> None:
    folder = own("resnet").folder
    read = read_layout(folder)
    assert read.vision.layers == (1, 2, 2, 1)
    change(folder, "vision_model_config.json", vision_layers=[1, 2, 2, 1])
    assert read_layout(folder) == read


@pytest.mark.parametrize("file", MODEL_FILES)
@pytest.mark.parametrize("kind", ["a named pipe", "a device", "a folder"])
def test_files_that_are_none_are_said(own: Own, file: str, kind: str) -> None:
    place = own("resnet").folder / file
    place.unlink(missing_ok=True)
    if kind == "a named pipe":
        os.mkfifo(place)
    elif kind == "a device":
        place.symlink_to("/dev/zero")
    else:
        place.mkdir()
    said = error_of(place.parent)
    assert str(place) in said
    assert f"it is not a file but {kind}" in said


ENDLESS = {
    ("text_model_config.json", "text_num_hidden_layers"): 10**9,
    ("text_model_config.json", "text_hidden_size"): 2**40,
    ("text_model_config.json", "text_max_position_embeddings"): 10**15,
    ("vision_model_config.json", "vision_layers"): [10**9, 1, 1, 1],
    ("vision_model_config.json", "image_resolution"): 32 * 10**6,
    ("vision_model_config.json", "embed_dim"): 10**4000,
}


@pytest.mark.parametrize(("file", "name"), ENDLESS)
def test_sizes_beyond_measure_are_said_at_once(own: Own, file: str, name: str) -> None:
    folder = own("resnet").folder
    change(folder, file, **{name: ENDLESS[file, name]})
    said = error_of(folder)
    assert name in said
    assert len(said) < 500


def test_numbers_and_lists_beyond_measure_are_said(own: Own) -> None:
    file = own("resnet").folder / "text_model_config.json"
    for text in ('{"vocab_size": ' + "9" * 5000 + "}", '{"vocab_size": ' + "[" * 10**6 + "}"):
        file.write_text(text)
        assert "beyond measure" in error_of(file.parent)


UNUSUAL: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "sparse": lambda tensor: tensor.to_sparse(),
    "of no device": lambda tensor: tensor.to("meta"),
    "complex": lambda tensor: tensor.to(torch.complex64),
    "of 8 bits": lambda tensor: torch.quantize_per_tensor(tensor.float(), 0.1, 0, torch.qint8),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", UNUSUAL)
def test_tensors_that_are_kept_in_another_way_are_named(own: Own, kind: str) -> None:
    folder = own("vit-b").folder
    state = read_state(folder)
    name = "bert.embeddings.word_embeddings.weight"
    save(folder, {**state, name: UNUSUAL[kind](state[name])})
    assert name in error_of(folder)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
@pytest.mark.parametrize("part", ["", "text_projection", "visual"])
def test_weights_of_zeros_or_no_numbers_are_refused(own: Own, value: float, part: str) -> None:
    folder = own("vit-b").folder
    state = read_state(folder)
    changed = {
        name: torch.full_like(tensor, value)
        for name, tensor in state.items()
        if name.startswith(part) and tensor.is_floating_point()
    }
    save(folder, {**state, **changed})
    said = error_of(folder)
    assert "its weights are zeros or no numbers" in said
    assert ("pictures" if part == "visual" else "texts") in said
