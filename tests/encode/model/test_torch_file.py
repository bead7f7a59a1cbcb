"""Tensors found in files of torch.save without torch, and nothing run or trusted on the way."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tasks.encode.model.chinese_clip.stored import StoredTensor
from tasks.encode.model.safetensors_file import Place
from tasks.encode.model.torch_file import find_tensors

STATE = {
    "matrix": torch.arange(12.0).reshape(3, 4),
    "half": torch.arange(5.0).half(),
    "part": torch.arange(20.0)[7:11],
    "one": torch.tensor(2.5),
    "whole": torch.arange(3),
    "none": torch.empty(0, 4),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.save(STATE, tmp_path / "weights.bin")
    return tmp_path / "weights.bin"


def test_every_tensor_lies_where_it_is_said_to(file: Path) -> None:
    found = find_tensors(file)
    assert found is not None
    assert {n: (place.kind, place.shape) for n, place in found.items()} == {
        "matrix": ("F32", (3, 4)),
        "half": ("F16", (5,)),
        "part": ("F32", (4,)),
        "one": ("F32", ()),
        "whole": ("I64", (3,)),
        "none": ("F32", (0, 4)),
    }
    for name in set(found) - {"whole"}:
        read = StoredTensor(file, found[name]).read()
        np.testing.assert_array_equal(read, STATE[name].float().numpy())


def test_rows_and_a_turned_matrix(file: Path) -> None:
    found = find_tensors(file)
    assert found is not None
    matrix = STATE["matrix"].numpy()
    turned = StoredTensor(file, found["matrix"], turned=True)
    assert turned.shape == (4, 3)
    np.testing.assert_array_equal(turned.read(), matrix.T)
    rows = StoredTensor(file, found["matrix"]).read_rows([2, 0, 2])
    np.testing.assert_array_equal(rows, matrix[[2, 0, 2]])


def test_a_state_beside_other_things(tmp_path: Path) -> None:
    content = {"epoch": 3, "state_dict": OrderedDict(STATE), "optimizer": {"lr": [0.1, None]}}
    torch.save(content, tmp_path / "weights.pt")
    found = find_tensors(tmp_path / "weights.pt")
    assert found is not None
    assert list(found) == list(STATE)


class Run:
    """Unpickled, it would make a folder."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.place),)


def test_code_is_not_run(tmp_path: Path) -> None:
    torch.save({**STATE, "other": Run(tmp_path / "made")}, tmp_path / "weights.bin")
    assert find_tensors(tmp_path / "weights.bin") is None
    assert not (tmp_path / "made").exists()


def repacked(file: Path, change: Callable[[str, bytes], bytes], how: int = 0) -> None:
    """Write an archive anew, with other contents or compressed."""
    with zipfile.ZipFile(file) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(file, "w", how) as archive:
        for name, content in entries.items():
            archive.writestr(name, change(name.partition("/")[2], content))


def numbers_alone(file: Path) -> None:
    repacked(file, lambda name, content: content[:-4] if name == "data/0" else content)


def other_order(file: Path) -> None:
    repacked(file, lambda name, content: b"big" if name == "byteorder" else content)


def with_pickle(said: object) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        pickled = io.BytesIO()
        pickle.Pickler(pickled, 2).dump(said)
        repacked(file, lambda n, content: pickled.getvalue() if n == "data.pkl" else content)

    return change


DOUBTFUL: dict[str, Callable[[Path], object]] = {
    "a tensor beyond its storage": numbers_alone,
    "another order of bytes": other_order,
    "compressed": lambda file: repacked(file, lambda _, c: c, zipfile.ZIP_DEFLATED),
    "cut short": lambda file: os.truncate(file, 400),
    "no archive": lambda file: file.write_bytes(b"not a zip"),
    "empty": lambda file: file.write_bytes(b""),
    "missing": Path.unlink,
    "a list": with_pickle([1, 2]),
    "nothing in it": with_pickle({}),
    "numbers": with_pickle({"a": 1}),
    "a place that nobody found": with_pickle({"a": Place("F32", (1,), 0, 4)}),
}


@pytest.mark.parametrize("what", DOUBTFUL)
def test_what_is_doubtful_is_not_told(file: Path, what: str) -> None:
    assert find_tensors(file) is not None
    DOUBTFUL[what](file)
    assert find_tensors(file) is None


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6.0).reshape(2, 3).t(),
        torch.arange(6.0)[::2],
        torch.arange(3.0).to_sparse(),
        torch.zeros(2, dtype=torch.complex64),
        torch.ones(1).expand(4),
    ],
    ids=["turned", "every other", "sparse", "complex", "one for all"],
)
@pytest.mark.filterwarnings("ignore:Sparse")
def test_a_tensor_that_is_not_one_piece_of_numbers(tmp_path: Path, tensor: Any) -> None:
    torch.save({"a": tensor}, tmp_path / "weights.bin")
    assert find_tensors(tmp_path / "weights.bin") is None


def test_damage_anywhere_raises_nothing(file: Path) -> None:
    right, random = file.read_bytes(), np.random.default_rng(0)
    size = len(right)
    for _ in range(300):
        damaged = bytearray(right)
        for place in random.integers(0, size, 3):
            damaged[place] = random.integers(0, 256)
        file.write_bytes(damaged)
        for place in (find_tensors(file) or {}).values():
            assert 0 <= place.start <= place.stop <= size
