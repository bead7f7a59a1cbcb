"""On a GPU as on a CPU: precisions, kernels, memory that runs out, and stages from end to end."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import muge_search
from tasks.encode.model.contract import Encoder
from tasks.encode.model.load import load_encoder
from tasks.encode.model.memory import BatchLimit
from tasks.encode.stage.embeddings import read_embeddings
from tasks.errors import DeviceError
from tasks.records import Float32
from tasks.settings import load_settings
from tasks.work.folder import Folder
from tests.encode.model.chinese_clip.test_parity import TEXTS, pictures
from tests.encode.model.models import FAMILY, TinyModel
from tests.encode.stage.parts import Killed, dying, encode, files, make_pictures, patient

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
]
Tiny = Callable[[str], TinyModel]
MiB = 1 << 20
CLOSE = {"bf16": 0.999, "fp16": 0.9999, "fp8": 0.95}
"""The least cosine between a vector and the same in fp32 on a CPU, with random weights."""


def on_gpu(model: TinyModel, precision: Any = "fp32", kernels: Any = "eager") -> Encoder:
    encoder = load_encoder(str(model.folder), "cuda", precision, kernels)
    assert (encoder.device, encoder.format) == ("cuda:0", precision)
    return encoder


def on_cpu(model: TinyModel) -> Encoder:
    return load_encoder(str(model.folder), "cpu", "fp32")


def are_close(vectors: Float32, right: Float32, precision: str) -> bool:
    if precision == "fp32":
        return bool(np.abs(vectors - right).max() < 1e-5)
    return bool((vectors * right).sum(axis=1).min() > CLOSE[precision])


@pytest.mark.parametrize("family", FAMILY)
def test_full_precision_is_as_on_a_cpu(tiny: Tiny, family: str) -> None:
    """Within what parity with the original allows: no convolution or product in TF32."""
    cpu, gpu = on_cpu(tiny(family)), on_gpu(tiny(family))
    pixels = pictures(6, tiny(family).resolution)
    right = cpu.encode_images(pixels)
    np.testing.assert_allclose(gpu.encode_images(pixels), right, rtol=0, atol=1e-5)
    pending = gpu.begin_images(torch.from_numpy(pixels).pin_memory())
    np.testing.assert_allclose(pending.result()[0], right, rtol=0, atol=1e-5)
    texts = cpu.encode_texts(TEXTS)
    np.testing.assert_allclose(gpu.encode_texts(TEXTS), texts, rtol=0, atol=1e-5)


@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp8"])
@pytest.mark.parametrize("family", ["vit-b", "vit-h", "resnet-50"])
def test_lower_precisions_are_close(tiny: Tiny, family: str, precision: str) -> None:
    cpu, gpu = on_cpu(tiny(family)), on_gpu(tiny(family), precision)
    pixels = pictures(6, tiny(family).resolution)
    assert are_close(gpu.encode_images(pixels), cpu.encode_images(pixels), precision)
    assert are_close(gpu.encode_texts(TEXTS), cpu.encode_texts(TEXTS), precision)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp8"])
@pytest.mark.parametrize("kernels", ["graphs", "compile"])
def test_kernels_give_the_same(tiny: Tiny, kernels: str, precision: str) -> None:
    """For every number of rows, and from several threads at once."""
    model = tiny("vit-b")
    eager, other = on_gpu(model, precision), on_gpu(model, precision, kernels)
    pixels = pictures(16, model.resolution)
    right = eager.encode_images(pixels)
    for rows in (16, 5, 4, 1):
        assert are_close(other.encode_images(pixels[:rows]), right[:rows], precision)
    together = threading.Barrier(4)

    def stream(_: int) -> list[Float32]:
        together.wait(60)
        begun = [
            other.begin_images(torch.from_numpy(pixels[:rows]).pin_memory())
            for rows in (16, 3, 16, 7, 1) * 4
        ]
        return [pending.result()[0] for pending in begun]

    with ThreadPoolExecutor(4) as pool:
        for parts in pool.map(stream, range(4)):
            for vectors in parts:
                assert are_close(vectors, right[: len(vectors)], precision)


@pytest.mark.parametrize("kernels", ["eager", "graphs"])
@pytest.mark.parametrize("budget", [32 * MiB, 512 * MiB])
def test_a_batch_takes_its_budget(tiny: Tiny, kernels: str, budget: int) -> None:
    encoder = on_gpu(tiny("vit-l-336"), "bf16", kernels)
    batch = encoder.batch_images(0, budget)
    assert batch & (batch - 1) == 0
    assert batch == encoder.batch_images(0, budget) < encoder.batch_images(0, 4 * budget)
    if kernels == "eager":
        pixels = pictures(batch, 336)
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        encoder.encode_images(pixels)
        taken = torch.cuda.max_memory_allocated() - before
        assert budget / 4 < taken < budget * 1.1


@pytest.fixture
def tight() -> Iterator[Callable[[int], None]]:
    """Leave so many bytes of the GPU's memory."""

    def leave(bytes: int) -> None:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(
            (torch.cuda.memory_reserved() + bytes) / total, 0
        )

    yield leave
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1.0, 0)


@pytest.mark.parametrize("kernels", ["eager", "graphs"])
@pytest.mark.parametrize("room", [24 * MiB, 200 * MiB])
def test_memory_that_runs_out_is_shared(
    own: Tiny, tight: Callable[[int], None], room: int, kernels: str
) -> None:
    """Even where the pixels alone are too many: 160 are 52 MiB."""
    model = own("vit-l-336")
    encoder: Any = on_gpu(model, "fp32", kernels)
    pixels = np.tile(pictures(8, 336), (20, 1, 1, 1))
    right = np.tile(encoder.encode_images(pixels[:8]), (20, 1))
    tight(room)
    np.testing.assert_allclose(encoder.encode_images(pixels), right, rtol=0, atol=1e-5)
    assert encoder._images.rows < 160
    encoder._images = BatchLimit()
    pending = encoder.begin_images(torch.from_numpy(pixels).pin_memory())
    np.testing.assert_allclose(pending.result()[0], right, rtol=0, atol=1e-5)
    assert encoder._images.rows < 160


def test_a_model_that_does_not_fit_is_one_line(own: Tiny, tight: Callable[[int], None]) -> None:
    tight(0)
    with pytest.raises(
        DeviceError, match=r"^the memory of cuda:0 .* MiB are free\) does not hold model "
    ):
        load_encoder(str(own("vit-b").folder), "cuda")


def test_a_gpu_that_fails_is_one_line(tiny: Tiny) -> None:
    """A failure ends a process's work with the GPU, so each has its own."""
    code = """
import sys, torch
from tasks.encode.model.load import load_encoder
from tasks.errors import DeviceError
encoder = load_encoder(sys.argv[1], "cuda")
def failing(given, *_):
    none = torch.full((len(given),), 9, device="cuda")
    return torch.nn.functional.embedding(none, torch.zeros(3, 4, device="cuda"))
encoder._features = encoder._model.text.forward = failing
pixels = torch.zeros(4, 224, 224, 3, dtype=torch.uint8).pin_memory()
try:
    {"pending": lambda: encoder.begin_images(pixels).result(),
     "pictures": lambda: encoder.encode_images(pixels.numpy()),
     "texts": lambda: encoder.encode_texts(["a"])}[sys.argv[2]]()
except DeviceError as error:
    print(error)
"""
    command = [sys.executable, "-c", code, str(tiny("vit-b").folder)]
    both = subprocess.PIPE
    ways = {"pending": "pictures", "pictures": "pictures", "texts": "texts"}
    begun = [subprocess.Popen([*command, way], stdout=both, stderr=both, text=True) for way in ways]
    for process, what in zip(begun, ways.values(), strict=True):
        said, errors = process.communicate(timeout=120)
        assert said.startswith(f"cuda:0 failed at the work on {what}: CUDA error: "), errors


@pytest.mark.parametrize("kernels", ["eager", "graphs"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_shard_that_was_killed_ends_in_the_same_bytes(
    own: Tiny, tmp_path: Path, precision: str, kernels: str
) -> None:
    model = own("vit-b")
    encoder = on_gpu(model, precision, kernels)
    shard = make_pictures(60, bad=(3, 17))
    encode(tmp_path / "right", encoder, shard, patient(checkpoint=600.0))
    right = files(tmp_path / "right")
    for after in (1, 9, 30, 57):
        folder = tmp_path / str(after)
        with pytest.raises(Killed):
            encode(folder, encoder, shard, advance=dying(after))
        encode(folder, encoder, shard)
        assert files(folder) == right
    encode(tmp_path / "cpu", on_cpu(model), shard)
    for one, other in zip(vectors(tmp_path / "right"), vectors(tmp_path / "cpu"), strict=True):
        assert are_close(one, other, precision)


def vectors(folder: Path) -> list[Float32]:
    found = read_embeddings(Folder(str(folder)), "images/part-00000-of-00001.parquet")
    return [vectors for _, _, vectors in found]


def test_the_sample_is_found_as_on_a_cpu(tmp_path: Path) -> None:
    """All the way: what was indexed on a GPU in fp32 answers as what was indexed on a CPU, in
    scores to 1e-5, and in bf16 nearly so."""
    found: dict[str, list[dict[str, float]]] = {}
    for name, device, precision in (
        ("cpu", "cpu", "fp32"),
        ("gpu", "cuda", "fp32"),
        ("half", "cuda", "bf16"),
    ):
        home = str(tmp_path / name)
        settings = load_settings(home=home, device=device, precision=precision)
        report = muge_search.index("sample:", settings=settings)
        assert (report.documents, report.rejects, report.verified) == (2810, 0, True)
        with muge_search.open_collection(settings=settings) as collection:
            hits = [
                collection.search(text=text, topk=20, alpha=1.0).hits
                for text in ("熊猫", "下雨天打的伞", "红色的车")
            ]
        found[name] = [{hit.id: hit.score for hit in each} for each in hits]
    for gpu, half, cpu in zip(found["gpu"], found["half"], found["cpu"], strict=True):
        assert gpu == pytest.approx(cpu, abs=1e-5)
        assert len(half.keys() & cpu.keys()) >= 18
