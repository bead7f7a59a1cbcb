"""Devices, number formats and memory: what is not there is said, what is short is shared."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tasks.encode.model.chinese_clip.encoder import ChineseClipEncoder
from tasks.encode.model.chinese_clip.family import ChineseClipFamily
from tasks.encode.model.device import choose_devices
from tasks.encode.model.load import load_encoder
from tasks.encode.model.locate import locate_model
from tasks.encode.model.memory import BatchLimit
from tasks.encode.model.precision import has_bf16_units
from tasks.encode.model.streams import count_streams, cpu_streams
from tasks.encode.stage.ahead import ahead
from tasks.encode.stage.clock import Clock, shares
from tasks.encode.stage.workers import decoders_at_once, shards_at_once
from tasks.errors import DeviceError
from tasks.index.request import check_request
from tasks.settings import load_settings
from tests.encode.model.chinese_clip.test_parity import TEXTS, pictures
from tests.encode.model.models import FAMILY, TinyModel
from tests.encode.stage.parts import encode, files, make_pictures

Tiny = Callable[[str], TinyModel]
CPU = torch.device("cpu")


@contextmanager
def small_memory(tower: torch.nn.Module, rows: int) -> Iterator[list[int]]:
    """A device whose memory holds the work on so many rows; what was asked of it."""
    asked: list[int] = []

    def refuse(_: torch.nn.Module, arguments: Any) -> None:
        asked.append(len(arguments[0]))
        if len(arguments[0]) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory")

    hook = tower.register_forward_pre_hook(refuse)
    try:
        yield asked
    finally:
        hook.remove()


@pytest.fixture
def encoder(own: Tiny) -> ChineseClipEncoder:
    """One whose limits no other test has found."""
    return opened(own("resnet-50").folder)


def opened(folder: Path) -> ChineseClipEncoder:
    """The encoder of a folder on the CPU, whose towers a test may reach into."""
    encoder = load_encoder(str(folder), "cpu", "fp32")
    assert isinstance(encoder, ChineseClipEncoder)
    return encoder


def test_a_batch_too_large_is_halved_and_that_is_remembered(encoder: ChineseClipEncoder) -> None:
    encoder._images, encoder._texts = BatchLimit(), BatchLimit()
    pixels = pictures(20, 64)
    right = encoder.encode_images(pixels)
    with small_memory(encoder._model.vision, 6) as asked:
        vectors = encoder.encode_images(pixels)
        assert asked == [20, 10, 5, 5, 5, 5]
        asked.clear()
        encoder.encode_images(pixels)
        assert asked == [5, 5, 5, 5]
    np.testing.assert_allclose(vectors, right, rtol=0, atol=1e-6)
    texts = [f"猫{number}" for number in range(20)]
    right = encoder.encode_texts(texts)
    with small_memory(encoder._model.text, 6) as asked:
        np.testing.assert_allclose(encoder.encode_texts(texts), right, rtol=0, atol=1e-6)
        assert max(asked[3:]) <= 6


def test_a_shard_goes_on_when_memory_runs_out(own: Tiny, tmp_path: Path) -> None:
    model, shard = own("resnet-50").folder, make_pictures(12)
    encode(tmp_path / "right", model, shard)
    tight = opened(model)
    with small_memory(tight._model.vision, 3):
        done = encode(tmp_path / "tight", model, shard)
    tight._images.rows = None
    assert (done.rows, done.rejects) == (12, 0)
    assert files(tmp_path / "tight").keys() == files(tmp_path / "right").keys()


def test_memory_for_nothing_at_all_is_one_line(encoder: ChineseClipEncoder) -> None:
    encoder._images = BatchLimit()
    with (
        small_memory(encoder._model.vision, 0),
        pytest.raises(DeviceError, match="does not hold the model's work on one picture"),
    ):
        encoder.encode_images(pictures(3, 64))
    encoder._images = BatchLimit()


def test_a_batch_is_what_was_asked_or_found(encoder: ChineseClipEncoder) -> None:
    assert encoder.batch_images(7, 1 << 30) == 7
    assert encoder.batch_images(0, 1 << 30) == encoder.batch_images(0, 1 << 20) > 0


@pytest.mark.gate("vit-b", "resnet")
@pytest.mark.parametrize("family", FAMILY)
def test_a_text_is_the_same_in_any_company(tiny: Tiny, family: str) -> None:
    """Batches are padded to their longest text alone; the original pads all to 52."""
    encoder = load_encoder(str(tiny(family).folder), "cpu", "fp32")
    texts = [*TEXTS, *(f"{'很长的' * (number % 17)}{number}" for number in range(120))]
    alone = np.concatenate([encoder.encode_texts([text]) for text in texts])
    np.testing.assert_allclose(encoder.encode_texts(texts), alone, rtol=0, atol=1e-5)


@pytest.mark.gate("vit-b-bf16", "vit-b-fp16", "vit-b-fp8")
@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp8"])
@pytest.mark.parametrize("family", ["vit-b", "vit-h"])
def test_lower_precisions_are_close(tiny: Tiny, family: str, precision: Any) -> None:
    folder = str(tiny(family).folder)
    full, less = load_encoder(folder, "cpu", "fp32"), load_encoder(folder, "cpu", precision)
    assert (full.format, less.format) == ("fp32", precision)
    pixels = pictures(4, 224)
    cosines = (full.encode_images(pixels) * less.encode_images(pixels)).sum(axis=1)
    least = {"bf16": 0.999, "fp16": 0.9999, "fp8": 0.95}[precision]  # random weights are the worst
    assert least < cosines.min() < 1 + 1e-6
    texts = (full.encode_texts(TEXTS) * less.encode_texts(TEXTS)).sum(axis=1)
    assert texts.min() > least
    assert less.encode_images(pixels).dtype == np.float32


def test_auto_precision_is_by_the_machine(tiny: Tiny) -> None:
    choose = ChineseClipFamily().choose_format
    vit, resnet = (locate_model(str(tiny(family).folder)) for family in ("vit-b", "resnet-50"))
    assert choose(resnet, CPU, "auto") == "fp32"
    assert choose(vit, CPU, "auto") == ("bf16" if has_bf16_units() else "fp32")
    assert choose(resnet, CPU, "fp16") == "fp16"


def test_graphs_need_cuda(tiny: Tiny) -> None:
    with pytest.raises(DeviceError, match="use compile"):
        load_encoder(str(tiny("resnet-50").folder), "cpu", "fp32", "graphs")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_compiled_tower_gives_the_same(tiny: Tiny) -> None:
    folder, pixels = str(tiny("resnet-50").folder), pictures(5, 64)
    compiled = load_encoder(folder, "cpu", "fp32", "compile")
    right = load_encoder(folder, "cpu", "fp32").encode_images(pixels)
    for rows in (5, 4, 1):
        vectors = compiled.encode_images(pixels[:rows])
        np.testing.assert_allclose(vectors, right[:rows], rtol=0, atol=1e-5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_devices_of_a_machine_without_a_gpu() -> None:
    assert choose_devices("cpu") == [CPU]
    assert [str(device) for device in choose_devices("auto")][-1] in ("cpu", "mps")
    with pytest.raises(DeviceError, match=r"^device 'cuda' was asked for, but this machine has: "):
        choose_devices("cuda")
    assert shards_at_once(3, "cpu") == shards_at_once(3, "cuda:1") == 3


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_missing_gpu_is_said_before_the_data_is_read(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="'cuda:1' was asked for"):
        check_request("sample:", load_settings(home=str(tmp_path), device="cuda:1"))


def test_decoders_are_as_many_as_asked_or_as_cores() -> None:
    assert decoders_at_once(5) == 5
    assert decoders_at_once(0) >= 1


def test_cpu_streams_work_alone_and_change_nothing_for_others() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        together = threading.Barrier(3)

        def alone() -> int:
            together.wait(10)
            torch.randn(200, 200) @ torch.randn(200, 200)
            return torch.get_num_threads()

        pool = cpu_streams()
        assert [f.result() for f in [pool.submit(alone) for _ in range(3)]] == [1, 1, 1]
        assert torch.get_num_threads() == count_streams() == 3
        with ThreadPoolExecutor(1) as other:
            assert other.submit(torch.get_num_threads).result() == 3
        torch.set_num_threads(17)
        assert count_streams() == 8, "memory does not grow with the cores"
        assert cpu_streams().submit(torch.get_num_threads).result() == 2
    finally:
        torch.set_num_threads(before)


def test_reading_ahead_is_bounded_and_ends_with_its_reader() -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    with ahead(source(), 5) as items:
        assert [next(items) for _ in range(3)] == [0, 1, 2]
    assert len(taken) <= 3 + 5 + 2
    assert not [t for t in threading.enumerate() if t.name == "read"]


def test_an_error_while_reading_ahead_is_raised_in_its_place() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    with ahead(source(), 5) as items:
        assert next(items) == 1
        with pytest.raises(OSError, match="gone"):
            next(items)


def test_shares_are_of_wall_time() -> None:
    one, two = Clock(), Clock()
    one.add("decode_busy", 3.0)
    one.add("decode_busy", 1.0)
    two.add("decode_busy", 2.0)
    two.add("model_wait", 1.0)
    assert shares([one.seconds, two.seconds], 4.0) == {"decode_busy": 1.5, "model_wait": 0.25}
    assert shares([one.seconds], 0.0) == {}
