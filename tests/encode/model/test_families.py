"""The table of model families: a folder's family, and one added from outside by one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tasks.context import Context
from tasks.encode.model.card import model_card
from tasks.encode.model.chinese_clip.encoder import ChineseClipEncoder
from tasks.encode.model.chinese_clip.family import ChineseClipFamily
from tasks.encode.model.describe import describe_model, square_of
from tasks.encode.model.families import MODELS, families, family_of
from tasks.encode.model.load import encoder_for, load_encoder
from tasks.encode.stage.embeddings import read_embeddings
from tasks.errors import DeviceError, ModelError
from tasks.search.questions import Question
from tasks.search.searcher import open_searcher
from tasks.settings import load_settings
from tasks.work.folder import Folder
from tests.encode.model.models import TinyModel
from tests.encode.model.pictures import decode_image, saved
from tests.encode.stage.parts import Pictures, encode, encode_texts, make_pictures
from tests.search.library import build
from tests.servers.hub import Hub
from tests.toys import ToyEncoder, ToyFamily, make_toy_model, toy_colour, toy_picture

OWN = (
    *("Chinese-CLIP", "Chinese-CLIP of cn_clip", "Chinese-CLIP of transformers"),
    *("Sentence Transformers", "CLIP", "AltCLIP", "SigLIP", "SigLIP, bilinear", "SigLIP 2"),
)
ADDED: dict[str, str | type[ToyFamily]] = {
    "as the class itself": ToyFamily,
    "by its place": "tests.toys:ToyFamily",
}


@pytest.fixture(params=ADDED)
def toy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of a family that was added from outside."""
    monkeypatch.setitem(MODELS, "Toy", ADDED[request.param])
    return make_toy_model(tmp_path / "toy")


def framed(middle: int, frame: int) -> bytes:
    """A wide picture whose square in the middle has one colour, and the rest another."""
    picture = Image.new("RGB", (30, 10), toy_colour(frame))
    picture.paste(toy_colour(middle), (10, 0, 20, 10))
    return saved(picture, "PNG")


def test_pictures_of_a_family_from_outside_go_through_the_stage(toy: Path, tmp_path: Path) -> None:
    some = make_pictures(11, bad=[4])
    pictures = Pictures(some.entries, {**some.data, 0: framed(7, 9), 1: toy_picture(7)})
    done = encode(tmp_path / "out", toy, pictures)
    assert (done.rows, done.rejects, done.fresh) == (10, 1, 10)
    folder = Folder(str(tmp_path / "out"))
    ids, _, vectors = next(read_embeddings(folder, f"images/{pictures.shard.part}.parquet"))
    encoder = load_encoder(str(toy), "cpu")
    pixels = [decode_image(pictures.data[int(i)], 6, 10**6, ToyFamily().square) for i in ids]
    np.testing.assert_array_equal(vectors, encoder.encode_images(np.stack(pixels)))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(vectors[0], vectors[1])
    file = tmp_path / "out" / "images" / f"{pictures.shard.part}.parquet"
    said = pq.read_schema(file).metadata
    assert said[b"preprocessing"] == b"crop-1/last-number-1"
    assert said[b"computed_in"] == b"fp32"
    assert (tmp_path / "out" / "pictures" / f"{pictures.shard.part}.parquet").exists()


def test_texts_of_a_family_from_outside_go_through_the_stage(toy: Path, tmp_path: Path) -> None:
    queries = [(number, f"彩色 {number}") for number in range(50)]
    assert encode_texts(tmp_path / "out", toy, queries).fresh == 50
    folder = Folder(str(tmp_path / "out"))
    ids, _, vectors = next(read_embeddings(folder, "texts/part-00000.parquet"))
    pictures = [decode_image(toy_picture(n), 6, 10**6) for n in range(50)]
    seen = load_encoder(str(toy), "cpu").encode_images(np.stack(pictures))
    assert ids == [str(number) for number in range(50)]
    assert ((vectors @ seen.T).argmax(axis=1) == np.arange(50)).all()


def test_a_search_sees_a_picture_as_its_family_does(
    context: Context, toy: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for number in range(12):
        (data / f"{number}.png").write_bytes(toy_picture(number))
    question = tmp_path / "question.png"
    question.write_bytes(framed(middle=5, frame=3))
    settings = load_settings(home=str(tmp_path / "home"), model=str(toy), device="cpu")
    build(context, f"folder:{data}", settings)
    searcher = open_searcher(context, settings)
    first = searcher.search(Question(image=str(question), alpha=1.0)).hits[0]
    by_text = searcher.search(Question(text="第 5", alpha=1.0)).hits[0]
    assert first.fields["query"] == by_text.fields["query"] == "5"
    assert first.score == pytest.approx(1, abs=1e-3)


def test_a_family_from_outside_is_loaded_once_and_shown(toy: Path) -> None:
    settings = load_settings(device="cpu", precision="fp32")
    encoder = encoder_for(str(toy), settings)
    assert isinstance(encoder, ToyEncoder)
    assert encoder_for(str(toy), load_settings(device="cpu")) is encoder
    assert encoder.info == describe_model(str(toy))
    card = model_card(str(toy), settings)
    assert ([file.name for file in card.files], card.dimension) == (["toy-model.json"], 32)
    assert card.parameters == {"waves": 48}
    with pytest.raises(DeviceError, match="toys work in fp32"):
        encoder_for(str(toy), load_settings(device="cpu", precision="fp16"))


def test_options_decide_how_a_model_works(tiny: Callable[[str], TinyModel]) -> None:
    model = str(tiny("resnet-50").folder)
    half = encoder_for(model, load_settings(device="cpu", precision="fp16"))
    assert (half.device, half.format) == ("cpu", "fp16")
    assert encoder_for(model, load_settings(device="cuda:7", precision="fp16"), "cpu") is half
    assert load_encoder(model, "cpu", "fp16", "eager") is half
    assert isinstance(half, ChineseClipEncoder)


def test_families_are_told_by_their_files(toy: Path, tiny: Callable[[str], TinyModel]) -> None:
    assert list(families()) == [*OWN, "Toy"]
    assert isinstance(family_of(tiny("vit-b").folder), ChineseClipFamily)
    assert isinstance(family_of(toy), ToyFamily)
    seen, whole = (
        decode_image(framed(1, 2), 4, 10**6, square_of(model)) for model in (str(toy), "sample")
    )
    assert (seen == toy_colour(1)).all()
    assert not (whole == toy_colour(1)).all()


@pytest.mark.parametrize("files", [(), ("config.json", "model.safetensors")])
def test_a_folder_of_no_known_family(tmp_path: Path, files: tuple[str, ...]) -> None:
    for name in files:
        (tmp_path / name).write_bytes(b"{}")
    for use in (describe_model, square_of, load_on_cpu):
        with pytest.raises(ModelError) as caught:
            use(str(tmp_path))
        message = str(caught.value)
        assert message.startswith(f"{tmp_path} holds {', '.join(files) or 'nothing'}: no model")
        assert "known are Chinese-CLIP (vision_model_config.json, text_model_config.json" in message
        assert len(message) < len(str(tmp_path)) + 500
        assert "\n" not in message


def load_on_cpu(model: str) -> Any:
    return load_encoder(model, "cpu")


def test_a_long_list_of_files_is_cut(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number:02}.txt").touch()
    with pytest.raises(ModelError, match=r"holds 00\.txt, .*, 07\.txt, \.\.\.: no model"):
        family_of(tmp_path)


HUB_SCRIPT = """
import json, sys
from dataclasses import asdict
from tasks.encode.model.describe import describe_model
from tasks.encode.model.families import MODELS
MODELS["Toy"] = "tests.toys:ToyFamily"
print(json.dumps([asdict(describe_model("owner/toy")) for _ in range(2)]))
"""


@pytest.mark.thorough
def test_a_hub_brings_the_files_of_every_family(tmp_path: Path) -> None:
    toy = make_toy_model(tmp_path / "toy")
    (toy / "else.bin").write_bytes(b"not read")
    with Hub() as hub:
        hub.add_model("owner/toy", toy, "master")
        done = subprocess.run(
            [sys.executable, "-c", HUB_SCRIPT],
            env={**os.environ, **hub.environment(tmp_path / "cache")},
            capture_output=True,
            text=True,
            check=True,
        )
        first, second = json.loads(done.stdout.splitlines()[-1])
        assert first == second
        assert (first["name"], first["dimension"]) == ("owner/toy", 32)
        assert hub.downloads("toy-model.json") == 1
        assert hub.downloads("else.bin") == 0
