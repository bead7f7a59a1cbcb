"""Models by name: described without torch, loaded once, safe in threads, honest about devices."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.download.refusals import check_reached
from tasks.encode.model.chinese_clip.convert import convert_model
from tasks.encode.model.chinese_clip.family import PREPROCESSING
from tasks.encode.model.describe import describe_model
from tasks.encode.model.device import available_devices, choose_device
from tasks.encode.model.hashes import hash_file
from tasks.encode.model.load import load_encoder
from tasks.encode.model.locate import full_name, locate_model, names
from tasks.errors import DeviceError, HubError, ModelError
from tasks.records import ModelInfo
from tests.encode.model.hub_user import HubUser
from tests.encode.model.models import TinyModel
from tests.servers.hub import Fault, Hub
from tests.servers.hugging_face import COMMIT, HuggingFaceHub

Tiny = Callable[[str], TinyModel]


def test_a_description_needs_files_only(tiny: Tiny) -> None:
    folder = tiny("vit-l-336").folder
    info = describe_model(str(folder))
    weights = (folder / "pytorch_model.bin").read_bytes()
    assert (info.dimension, info.resolution, info.revision) == (64, 336, "")
    assert info.weights == hashlib.sha256(weights).hexdigest()
    assert PREPROCESSING == "squash-bicubic-1/wordpiece-lower-52-1"
    assert info.preprocessing.startswith(f"{PREPROCESSING}/")
    assert describe_model(info.name) == info
    assert load_encoder(str(folder), "cpu").info == info


def test_light_modules_do_not_import_torch() -> None:
    script = (
        "import sys; import tasks.encode.model.describe, tasks.encode.model.pixels;"
        "import tasks.encode.model.chinese_clip.tokenizer, tasks.encode.model.chinese_clip.family;"
        "import tasks.encode.model.load, tasks.encode.model.chinese_clip.text_in_numpy;"
        "print({'torch', 'modelscope', 'tokenizers', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.split() == [b"set()"]


@pytest.mark.thorough
def test_loading_does_not_import_torchs_compiler(tiny: Tiny) -> None:
    """It would take 2 of the 4 seconds that a search may take."""
    script = (
        "import sys; from tasks.encode.model.load import load_encoder;"
        f"load_encoder({str(tiny('vit-b').folder)!r}, 'cpu').encode_texts(['猫']);"
        "print({'torch._dynamo', 'sympy', 'modelscope'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True)
    assert (done.stdout.split(), done.stderr) == ([b"set()"], b"")


def test_a_model_is_loaded_once(tiny: Tiny) -> None:
    folder = tiny("resnet").folder
    with ThreadPoolExecutor(8) as pool:
        encoders = set(pool.map(lambda _: load_encoder(str(folder), "cpu"), range(16)))
    assert len(encoders) == 1
    assert load_encoder(os.path.relpath(folder), "cpu") in encoders


def test_changed_weights_are_another_model(own: Tiny) -> None:
    folder = own("vit-b").folder
    first = load_encoder(str(folder), "cpu")
    state = torch.load(folder / "pytorch_model.bin")["state_dict"]
    torch.save(
        {**state, "text_projection": -state["text_projection"]}, folder / "pytorch_model.bin"
    )
    second = load_encoder(str(folder), "cpu")
    assert second.info.weights != first.info.weights
    np.testing.assert_allclose(second.encode_texts(["猫"]), -first.encode_texts(["猫"]), atol=1e-6)


def test_a_hash_follows_its_file(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    assert hash_file(file) == hashlib.sha256(b"one").hexdigest()
    file.write_bytes(b"other")
    assert hash_file(file) == hashlib.sha256(b"other").hexdigest()
    assert hash_file(file) == hashlib.sha256(b"other").hexdigest()
    with pytest.raises(ModelError, match="cannot be read"):
        hash_file(tmp_path / "none")


def test_threads_get_their_own_vectors(tiny: Tiny) -> None:
    encoder = load_encoder(str(tiny("vit-b").folder), "cpu")
    texts = [[f"{'猫狗' * size}{number}" for number in range(5)] for size in range(12)]
    expected = [encoder.encode_texts(batch) for batch in texts]
    with ThreadPoolExecutor(6) as pool:
        for vectors, right in zip(pool.map(encoder.encode_texts, texts), expected, strict=True):
            np.testing.assert_allclose(vectors, right, rtol=0, atol=1e-6)


def test_nothing_gives_no_vectors(tiny: Tiny) -> None:
    encoder = load_encoder(str(tiny("vit-b").folder), "cpu")
    nothing = np.empty((0, 224, 224, 3), np.uint8)
    for vectors in (encoder.encode_texts([]), encoder.encode_images(nothing)):
        assert vectors.shape == (0, 64)
        assert vectors.dtype == np.float32


@pytest.mark.parametrize("shape", [(1, 3, 224, 224), (224, 224, 3), (1, 64, 64, 3)])
def test_pixels_of_another_shape_are_refused(tiny: Tiny, shape: tuple[int, ...]) -> None:
    encoder = load_encoder(str(tiny("vit-b").folder), "cpu")
    with pytest.raises(ValueError, match=r"expected uint8 \(N, 224, 224, 3\)"):
        encoder.encode_images(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="float32"):
        encoder.encode_images(np.zeros((1, 224, 224, 3), np.float32))


def test_pixels_may_be_a_view_that_cannot_be_written(tiny: Tiny) -> None:
    encoder = load_encoder(str(tiny("resnet").folder), "cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    view = pixels[::-1, :, ::-1]
    view.flags.writeable = False
    right = encoder.encode_images(np.ascontiguousarray(view))
    np.testing.assert_array_equal(encoder.encode_images(view), right)


def test_auto_takes_a_device_that_is_there() -> None:
    assert str(choose_device("auto")) == available_devices()[0]
    assert available_devices()[-1] == "cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:7", "mps:3", "tpu", ""])
def test_a_device_that_is_not_there_is_an_error(tiny: Tiny, device: str) -> None:
    with pytest.raises(DeviceError, match=rf"'{device}' was asked for.* has: .*cpu"):
        load_encoder(str(tiny("vit-b").folder), device)


@pytest.mark.parametrize(
    "name", ["nothing", "/no/such/folder", "../none", "./a/b", "a/b/c", "~x", ""]
)
def test_a_name_that_means_nothing_is_an_error(name: str) -> None:
    with pytest.raises(ModelError, match="there is no model"):
        locate_model(name)


def test_a_hub_model_is_downloaded_once(tiny: Tiny, tmp_path: Path) -> None:
    with Hub() as hub, closing(HubUser(hub, tmp_path)) as user:
        hub.add_model("owner/tiny", tiny("vit-b").folder, "master", "v1.0.1")
        first = user.describe("owner/tiny")
        assert (first["name"], first["revision"]) == ("owner/tiny", "master")
        assert first["weights"] == describe_model(str(tiny("vit-b").folder)).weights
        assert hub.downloads("pytorch_model.bin") == 1
        assert user.describe("owner/tiny@v1.0.1")["revision"] == "v1.0.1"
        assert hub.downloads("pytorch_model.bin") == 2
        assert hub.downloads("README.md") == 0

        hub.requests.clear()
        assert user.describe("owner/tiny") == first
        assert hub.requests == []

        next(tmp_path.rglob("vocab.txt")).unlink()
        assert user.describe("owner/tiny") == first
        assert user.describe("owner/tiny@v1.0.1")["dimension"] == 64
        assert hub.downloads("vocab.txt") == 1

        for name in ("owner/none@master", "owner/tiny@v9"):
            answer = user.describe(name)
            assert answer.startswith(f"could not download {name}: ")
            assert answer.endswith("; use --model sample or a local folder")
            assert "\n" not in answer


def test_a_model_of_hugging_face_is_downloaded_once(tiny: Tiny, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    source = tmp_path / "repository"
    shutil.copytree(tiny("vit-b").folder, source)
    (source / "tf_model.h5").write_bytes(b"the same again")
    with HuggingFaceHub() as hub, closing(HubUser(hub, tmp_path / "cache")) as user:
        hub.add_model("owner/tiny", source)
        first = user.describe("hf:owner/tiny")
        assert (first["name"], first["revision"]) == ("hf:owner/tiny", COMMIT)  # not main: it moves
        assert first["weights"] == describe_model(str(source)).weights
        assert hub.downloads("pytorch_model.bin") == 1
        assert hub.downloads("tf_model.h5") == 0
        info = ModelInfo(**first)
        assert all(names(said, info) for said in ("hf:owner/tiny", "hf:owner/tiny@main"))
        assert not any(names(said, info) for said in ("owner/tiny", "hf:owner/tiny@v9"))

        hub.requests.clear()
        assert user.describe("hf:owner/tiny") == first
        assert user.describe("hf:owner/tiny@main") == first
        assert hub.requests == []
        assert user.describe(f"hf:owner/tiny@{COMMIT}")["weights"] == first["weights"]
        assert hub.downloads("pytorch_model.bin") == 0

        next(place for place in (tmp_path / "cache").rglob("vocab.txt")).unlink()
        assert user.describe("hf:owner/tiny") == first
        for name in ("hf:owner/none@main", "hf:owner/tiny@v9"):
            answer = user.describe(name)
            assert answer.startswith(f"could not download {name}: ")
            assert answer.endswith("Not Found; use --model sample or a local folder")


def test_a_branch_that_moves_leaves_the_commit_that_was_used(tiny: Tiny, tmp_path: Path) -> None:
    """Its commit finds the same vectors again, wherever."""
    pytest.importorskip("huggingface_hub")
    later = "f" * 40
    with HuggingFaceHub() as hub:
        hub.add_model("owner/tiny", tiny("vit-b").folder)
        with closing(HubUser(hub, tmp_path / "here")) as user:
            first = user.describe("hf:owner/tiny")
            hub.add_model("owner/tiny", tiny("resnet").folder, later)
            assert user.describe("hf:owner/tiny") == first
        with closing(HubUser(hub, tmp_path / "elsewhere")) as user:
            again = user.describe(full_name(ModelInfo(**first)))
            assert (again["weights"], again["revision"]) == (first["weights"], COMMIT)
            now = user.describe("hf:owner/tiny")
            assert (now["revision"], now["weights"] == first["weights"]) == (later, False)
            assert user.describe("hf:owner/tiny@main") == now


def test_what_a_hub_refuses_is_one_line_that_helps(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with HuggingFaceHub() as hub, closing(HubUser(hub, tmp_path)) as user:
        hub.add_model("owner/tiny", tiny("vit-b").folder)
        for status, said in (
            (401, "private or gated: check the name, and set HF_TOKEN"),
            (403, "ask for access on its page, and set HF_TOKEN"),
            (404, "no such model or revision, or it is private"),
        ):
            hub.refusing, hub.page = status, b"hf_secret"
            answer = user.describe("hf:owner/tiny")
            assert said in answer
            assert str(status) in answer
            assert not any(word in answer for word in ("http", "Error", "secret", "\n"))
        hub.refusing = 0
        for page in (b"<html>", b'{"sha": 3, [[', b'{"siblings": null}'):
            hub.page = page
            answer = user.describe("hf:owner/tiny")
            assert "what answers is no hub" in answer
            assert "HF_ENDPOINT" in answer
        hub.page = b""
        hub.wrong = {"pytorch_model.bin"}
        answer = user.describe("hf:owner/tiny")
        assert "pytorch_model.bin: what came has SHA-256" in answer
        hub.wrong = set()
        assert user.describe("hf:owner/tiny")["dimension"] == 64


def test_nobody_is_asked_when_the_client_is_told_so(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub")
    with HuggingFaceHub() as hub:
        hub.add_model("owner/tiny", tiny("vit-b").folder)
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        with closing(HubUser(hub, tmp_path)) as user:
            answer = user.describe("hf:owner/tiny")
        assert "HF_HUB_OFFLINE is set" in answer
        assert hub.requests == []


def test_a_cache_that_cannot_be_written(tiny: Tiny, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    place = tmp_path / "file"
    place.write_text("no folder")
    with HuggingFaceHub() as hub, closing(HubUser(hub, place)) as user:
        hub.add_model("owner/tiny", tiny("vit-b").folder)
        answer = user.describe("hf:owner/tiny")
    assert "its cache cannot be written: Not a directory" in answer
    assert "name another place in HF_HOME; use --model" in answer


def test_weights_wait_until_the_model_is_one_that_is_read(tiny: Tiny, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    folders = {name: tmp_path / name for name in ("blip", "lora", "empty", "outside")}
    for folder in folders.values():
        folder.mkdir()
    (folders["blip"] / "config.json").write_text('{"model_type": "blip-2"}')
    (folders["blip"] / "model.safetensors").write_bytes(b"many")
    (folders["lora"] / "adapter_config.json").write_text("{}")
    (folders["lora"] / "adapter_model.safetensors").write_bytes(b"many")
    with HuggingFaceHub() as hub, closing(HubUser(hub, tmp_path / "cache")) as user:
        for name, folder in folders.items():
            hub.add_model(f"owner/{name}", folder)
        assert "model_type is 'blip-2', which is not read" in user.describe("hf:owner/blip")
        answer = user.describe("hf:owner/lora")
        assert "holds adapter_config.json, adapter_model.safetensors, and no weights" in answer
        assert "owner/empty@main holds nothing" in user.describe("hf:owner/empty")
        hub.listed = ["../evil.pt"]
        assert "'../evil.pt', which would lie outside" in user.describe("hf:owner/outside")
        assert hub.downloads("model.safetensors") == hub.downloads("adapter_model.safetensors") == 0


def test_addresses_are_said_without_their_passwords() -> None:
    with pytest.raises(HubError, match=r"^http://127\.0\.0\.1:9 cannot be reached"):
        check_reached("http://me:secret@127.0.0.1:9")


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("HF:a/b", "hf:a/b"),
        ("hf：a/b", "hf:a/b"),
        ("hf:a/b/", "hf:a/b"),
        (" hf:a/b", "hf:a/b"),
        ("hf:https://huggingface.co/a/b", "hf:a/b"),
        ("https://huggingface.co/a/b/tree/v2", "hf:a/b@v2"),
        ("https://www.modelscope.cn/models/a/b/summary", "a/b"),
        ("st:hf://a/b", "st:hf:a/b"),
        ("Sample", "sample"),
    ],
)
def test_a_name_that_is_nearly_one(typed: str, near: str) -> None:
    with pytest.raises(ModelError, match=f"perhaps {near} is meant$"):
        locate_model(typed)


@pytest.mark.parametrize(
    "name",
    ["hf:../x", "hf:a/..", "hf:a/b--c", "a/..", "hf:a/b@../../x", "st:hf:a/b?dimension=8@.."],
)
def test_a_name_that_no_hub_has_is_not_asked_for(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.download.hubs.import_module", None)
    with pytest.raises(ModelError, match="there is no model"):
        locate_model(name)


@pytest.mark.thorough
def test_broken_downloads_are_mended_or_said(tiny: Tiny, tmp_path: Path) -> None:
    weights = "pytorch_model.bin"
    with Hub() as hub, closing(HubUser(hub, tmp_path)) as user:
        hub.add_model("owner/tiny", tiny("vit-b").folder)
        for fault, said in (
            (Fault("missing"), weights),
            (Fault("wrong"), weights),
        ):
            hub.faults[weights] = fault
            answer = user.describe("owner/tiny")
            assert answer.startswith(f"could not download owner/tiny@master: {said}: ")
            assert "\n" not in answer
            assert not list(tmp_path.rglob(weights))
        hub.faults = {weights: Fault("cut", times=1), "vocab.txt": Fault("slow", 1, seconds=0.2)}
        assert user.describe("owner/tiny")["dimension"] == 64


@pytest.mark.thorough
def test_a_hub_that_is_away_is_said_at_once(tmp_path: Path) -> None:
    """Its own client tries for half a minute."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
    hub = Hub()
    hub.url = f"http://127.0.0.1:{port}"
    with closing(HubUser(hub, tmp_path)) as user:
        began = time.monotonic()
        said = user.describe("owner/tiny")
        assert time.monotonic() - began < 20  # with a slow import of the client
    assert said.startswith("could not download owner/tiny@master: http://127.0.0.1:")
    assert "cannot be reached" in said


@pytest.mark.thorough
def test_of_a_repository_only_what_is_read_is_downloaded(tiny: Tiny, tmp_path: Path) -> None:
    """Repositories often hold the same weights in several forms."""
    source = tmp_path / "repository"
    convert_model(str(tiny("resnet").folder), str(source))
    for name in ("pytorch_model.bin", "clip_cn_rn50.pt", "tf_model.h5"):
        (source / name).write_bytes(b"the same again")
    with Hub() as hub, closing(HubUser(hub, tmp_path / "cache")) as user:
        hub.add_model("owner/tiny", source)
        assert user.describe("owner/tiny")["dimension"] == 64
        assert hub.downloads("model.safetensors") == 1
        for name in ("pytorch_model.bin", "clip_cn_rn50.pt", "tf_model.h5", "README.md"):
            assert hub.downloads(name) == 0
        hub.requests.clear()
        assert user.describe("owner/tiny")["family"] == "Chinese-CLIP"
        assert hub.requests == []
