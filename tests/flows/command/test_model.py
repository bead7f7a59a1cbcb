"""`muge model` shows what a model gives in the very way that runs and searches use it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from tasks.encode.model.card import SELF_TEST_TEXT, SHOWN_VALUES
from tasks.encode.model.load import load_encoder
from tests.encode.model.models import read_state
from tests.flows.conftest import Muge


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_self_test_is_in_the_precision_of_the_options(
    muge: Muge, model: str, precision: str
) -> None:
    environment = {"MUGE_PRECISION": precision, "MUGE_DEVICE": "cpu"}
    done = muge("model", model, "--json", environment=environment)
    assert (done.returncode, done.stderr) == (0, "")
    half = load_encoder(model, "cpu", "fp16").encode_texts([SELF_TEST_TEXT])[0, :SHOWN_VALUES]
    full = load_encoder(model, "cpu", "fp32").encode_texts([SELF_TEST_TEXT])[0, :SHOWN_VALUES]
    found = json.loads(done.stdout)["self_test"]["text_vector"]
    right, other = (full, half) if precision == "fp32" else (half, full)
    assert found == pytest.approx(right, abs=1.1e-5)
    assert found != pytest.approx(other, abs=1.1e-5)


def test_the_card_is_chinese_at_a_chinese_terminal(muge: Muge, model: str, tmp_path: Path) -> None:
    zh, device = {"MUGE_LANGUAGE": "zh", "MUGE_DEVICE": "cpu"}, "cpu，加载用了 "
    card = muge("model", model, environment=zh).stdout
    assert [line.split()[0] for line in card.splitlines()[:5]] == [
        *("模型", "目录", "家族", "维度", "图片")
    ]
    assert device in card
    done = muge("model", "convert", model, str(tmp_path / "out"), environment=zh)
    assert "自检  前后各 5 个向量，最大差 " in done.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_kernels_that_do_not_work_here_are_said(muge: Muge, model: str) -> None:
    done = muge("model", model, environment={"MUGE_KERNELS": "graphs"})
    assert done.returncode == 2
    assert "kernels 'graphs' are CUDA's" in done.stderr
    assert done.stderr.count("\n") == 1


def test_kernels_that_nothing_compiles_are_said(muge: Muge, model: str, tmp_path: Path) -> None:
    """An image of containers has no compiler."""
    environment = {"MUGE_KERNELS": "compile", "MUGE_DEVICE": "cpu", "PATH": str(tmp_path)}
    done = muge("model", model, environment={**environment, "CXX": "our-c++"})
    assert done.returncode == 2
    assert "a compiler for cpu, and our-c++ is not here; install it, or use eager" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_model_of_zeros_is_one_line(muge: Muge, model: str, tmp_path: Path) -> None:
    folder = tmp_path / "zeros"
    shutil.copytree(model, folder)
    zeros = {name: torch.zeros_like(tensor) for name, tensor in read_state(folder).items()}
    torch.save(zeros, folder / "pytorch_model.bin")
    done = muge("model", str(folder))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "its weights are zeros or no numbers" in done.stderr


def test_a_full_disk_of_prefects_folder_is_one_line(
    muge: Muge, pictures: Path, small_disk: Path, tmp_path: Path
) -> None:
    place = ("--work-dir", str(tmp_path / "work"), "--store", f"zvec:{tmp_path / 'store'}")
    environment = {"MUGE_HOME": str(small_disk)}
    done = muge("index", f"folder:{pictures}", *place, environment=environment)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0].startswith("looking for changes")
    assert done.stderr.count("\n") == 2
    assert "Prefect's data base needs 32; make room" in done.stderr
    nowhere = {"MUGE_HOME": str(tmp_path), "PREFECT_HOME": "/proc/nowhere"}
    done = muge("index", f"folder:{pictures}", *place, environment=nowhere)
    assert done.returncode == 1
    assert "muge: Prefect's folder /proc/nowhere cannot be written" in done.stderr
    assert "unexpected" not in done.stderr
