"""When a process that asks one question does without torch: only where nothing is in doubt."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from tasks.encode.model import accelerators, load
from tasks.encode.model.accelerators import is_without_accelerator
from tasks.encode.model.chinese_clip.text_in_numpy import TextInNumpy
from tasks.encode.model.describe import describe_model
from tasks.encode.model.load import texts_for
from tasks.errors import ModelError
from tasks.settings import load_settings
from tests.encode.model.dual import make_dual
from tests.encode.model.models import make_model

TORCH = object()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model").folder


@pytest.fixture
def before_torch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not imported it, on a machine without a GPU."""
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(load, "is_without_accelerator", lambda: True)
    monkeypatch.setattr(load, "encoder_for", lambda *_, **__: TORCH)


@pytest.mark.parametrize(
    ("options", "as_made"),
    [
        ({"device": "auto"}, "fp32"),
        ({"device": "cpu"}, "fp32"),
        ({"device": "cpu", "precision": "fp32"}, ""),
        ({"device": "cpu", "precision": "fp32"}, "bf16"),
    ],
)
def test_a_text_needs_no_torch(
    folder: Path, before_torch: None, options: dict[str, str], as_made: str
) -> None:
    encoder = texts_for(str(folder), load_settings(**options), as_made)
    assert isinstance(encoder, TextInNumpy)
    assert (encoder.format, encoder.info) == ("fp32", describe_model(str(folder)))


@pytest.mark.parametrize(
    ("options", "as_made"),
    [
        ({"device": "cpu"}, "bf16"),
        ({"device": "cpu"}, "fp32,bf16"),
        ({"device": "cpu"}, ""),
        ({"device": "cpu", "precision": "bf16"}, "fp32"),
        ({"device": "cpu", "kernels": "compile"}, "fp32"),
        ({"device": "cuda"}, "fp32"),
        ({"device": "mps"}, "fp32"),
    ],
)
def test_what_is_worked_otherwise_needs_it(
    folder: Path, before_torch: None, options: dict[str, str], as_made: str
) -> None:
    assert texts_for(str(folder), load_settings(**options), as_made) is TORCH


def test_a_process_that_has_it_uses_it(
    folder: Path, before_torch: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert texts_for(str(folder), load_settings(device="cpu"), "fp32") is TORCH


def test_a_machine_that_may_have_a_gpu_needs_it(
    folder: Path, before_torch: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "is_without_accelerator", lambda: False)
    assert texts_for(str(folder), load_settings(device="auto"), "fp32") is TORCH
    encoder = texts_for(str(folder), load_settings(device="cpu"), "fp32")
    assert isinstance(encoder, TextInNumpy)


def test_weights_that_only_torch_reads_need_it(folder: Path, before_torch: None) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"what torch refuses")
    assert texts_for(str(folder), load_settings(device="cpu"), "fp32") is TORCH


def test_other_families_need_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    make_dual(tmp_path / "CLIP", "CLIP")
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(load, "encoder_for", lambda *_, **__: TORCH)
    assert texts_for(str(tmp_path / "CLIP"), load_settings(device="cpu"), "fp32") is TORCH


def test_a_model_that_is_not_there(before_torch: None) -> None:
    with pytest.raises(ModelError, match="there is no model"):
        texts_for("./nowhere", load_settings(device="cpu"), "fp32")


def test_a_gpu_leaves_traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerators, "_TRACES", (str(tmp_path / "nvidia*"),))
    monkeypatch.setattr(sys, "platform", "linux")
    assert is_without_accelerator()
    (tmp_path / "nvidia0").touch()
    assert not is_without_accelerator()
    monkeypatch.setattr(sys, "platform", "darwin")
    (tmp_path / "nvidia0").unlink()
    assert not is_without_accelerator()


def test_torch_agrees_that_there_is_none() -> None:
    if is_without_accelerator():
        assert torch.cuda.device_count() == 0
        assert not torch.backends.mps.is_available()
