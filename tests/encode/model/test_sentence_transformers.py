"""Models of Sentence Transformers: vectors, instruction, dimension, and code that is not run."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tasks.context import Context
from tasks.encode.model.describe import describe_model, square_of
from tasks.encode.model.load import encoder_for, load_encoder
from tasks.encode.model.locate import full_name, names
from tasks.encode.model.names import Choices, parse_name, with_choices
from tasks.encode.model.pixels import decode_picture
from tasks.encode.model.sentence_transformers.squares import SIDE, fitted, unfitted
from tasks.errors import DeviceError, ModelError
from tasks.records import Float32
from tasks.search.questions import Question
from tasks.search.searcher import open_searcher
from tasks.settings import load_settings
from tests.encode.model.dual import change_config, make_dual, make_tokenizer
from tests.encode.model.hub_user import HubUser
from tests.encode.model.pictures import saved
from tests.encode.model.qwen import WIDTH, make_qwen
from tests.extras import needs
from tests.search.library import build
from tests.servers.hugging_face import HuggingFaceHub
from tests.toys import toy_picture

needs("sentence_transformers", "sentence-transformers")

TEXTS = ["一只猫", "红色连衣裙", "hello", "很长的裙子" * 30]


@pytest.fixture(scope="module")
def st(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder, and the library's own model of it; tests must not write there."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from transformers import CLIPProcessor

    source, folder = (tmp_path_factory.mktemp("st") / name for name in ("clip", "st"))
    _, pictures, _ = make_dual(source, "CLIP")
    CLIPProcessor(pictures, make_tokenizer()).save_pretrained(source)
    made = SentenceTransformer(
        modules=[Transformer(str(source))], device="cpu", prompts={"query": "找：", "document": ""}
    )
    made.save(str(folder))
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    model.max_seq_length = 77  # the library itself fails on longer texts
    return folder, model


def some_pictures() -> list[Image.Image]:
    random = np.random.default_rng(3)
    coarse = [random.integers(0, 256, (5, 7, 3), dtype=np.uint8) for _ in range(3)]
    sizes = ((200, 90), (61, 240), (64, 64))
    return [Image.fromarray(c).resize(size) for c, size in zip(coarse, sizes, strict=True)]


def pixels_of(folder: Path, pictures: list[Image.Image]) -> Any:
    square = square_of(f"st:{folder}")
    decoded = [decode_picture(saved(p, "PNG"), SIDE, 10**7, square=square) for p in pictures]
    return np.stack([each.pixels for each in decoded])


def unit(vectors: Float32) -> Float32:
    found: Float32 = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return found


def test_a_hub_s_model_is_seen_to_want_no_code_before_its_weights_come(
    st: tuple[Path, Any], tmp_path: Path
) -> None:
    """And its code comes when it is trusted, though all else lies in the cache."""
    source = tmp_path / "source"
    shutil.copytree(st[0], source)
    (source / "modeling.py").write_text("raise SystemExit")
    change_config(source, "config.json", auto_map={"AutoModel": "modeling.Model"})
    with HuggingFaceHub() as hub, closing(HubUser(hub, tmp_path / "cache")) as user:
        hub.add_model("owner/st", source)
        hub.add_model("owner/plain", st[0])
        assert "wants code of its own to be run" in user.describe("st:hf:owner/st")
        assert hub.downloads("model.safetensors") == hub.downloads("modeling.py") == 0
        assert user.describe("st:hf:owner/st?trust_remote_code=true")["dimension"] == 48
        assert list((tmp_path / "cache").rglob("modeling.py"))

        plain = user.describe("hf:owner/plain")  # its files say what it is
        hub.requests.clear()
        assert user.describe("st:hf:owner/plain")["weights"] == plain["weights"]
        assert hub.requests == []
        hub.add_model("owner/none", source / "none")
        assert "holds nothing: no model of Sentence" in user.describe("st:hf:owner/none")


def test_vectors_are_those_of_the_library(st: tuple[Path, Any]) -> None:
    folder, model = st
    encoder = load_encoder(f"st:{folder}", "cpu", "fp32")
    pictures = some_pictures()
    right = unit(model.encode_document(pictures))
    found = encoder.encode_images(pixels_of(folder, pictures))
    np.testing.assert_allclose(found, right, rtol=0, atol=1e-5)
    texts = unit(model.encode_query(TEXTS))
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), texts, rtol=0, atol=1e-5)
    assert (encoder.info.instruction, encoder.info.dimension) == ("找：", 48)
    assert encoder.info.family == "Sentence Transformers"
    assert encoder.encode_texts([]).shape == (0, 48)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as Qwen3-VL-Embedding is published: the last token's vector, of length 1."""
    if find_spec("torchvision") is None:
        pytest.skip("needs torchvision")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    source, folder = (tmp_path_factory.mktemp("qwen") / name for name in ("qwen", "st"))
    make_qwen(source)
    modules = [Transformer(str(source)), Pooling(WIDTH, pooling_mode="lasttoken"), Normalize()]
    SentenceTransformer(modules=modules, device="cpu", prompts={"query": "Find: "}).save(
        str(folder)
    )
    return folder


@pytest.mark.parametrize("chosen", ["", "?dimension=32&instruction=%E6%89%BE%EF%BC%9A"])
def test_vectors_of_a_qwen3_vl_are_those_of_the_library(qwen: Path, chosen: str) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(qwen), device="cpu", local_files_only=True)
    encoder = load_encoder(f"st:{qwen}{chosen}", "cpu", "fp32")
    dimension, prompt = encoder.info.dimension, encoder.info.instruction
    assert (dimension, prompt) == ((32, "找：") if chosen else (WIDTH, "Find: "))
    pictures = some_pictures()
    for pixels, right in (
        (pixels_of(qwen, pictures), model.encode_document(pictures)),
        (pixels_of(qwen, pictures[:1]), model.encode_document(pictures[:1])),
    ):
        found = encoder.encode_images(pixels)
        np.testing.assert_allclose(found, unit(right[:, :dimension]), rtol=0, atol=1e-6)
    texts = unit(model.encode(TEXTS, prompt=prompt)[:, :dimension])
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), texts, rtol=0, atol=1e-6)


def test_an_instruction_and_a_dimension_are_part_of_the_model(st: tuple[Path, Any]) -> None:
    folder, model = st
    settings = load_settings(
        model=f"st:{folder}", dimension=16, instruction="给出 50% 的图@：", device="cpu"
    )
    encoder = encoder_for(settings.model_name, settings)
    info = encoder.info
    assert (info.dimension, info.instruction) == (16, "给出 50% 的图@：")
    whole = model.encode(TEXTS, prompt="给出 50% 的图@：")
    right = unit(whole[:, :16])
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), right, rtol=0, atol=1e-5)
    pictures = some_pictures()
    right = unit(model.encode_document(pictures)[:, :16])
    found = encoder.encode_images(pixels_of(folder, pictures))
    np.testing.assert_allclose(found, right, rtol=0, atol=1e-5)
    assert describe_model(full_name(info)) == info
    plain = describe_model(f"st:{folder}")
    assert plain.weights == info.weights
    assert len({plain.preprocessing, info.preprocessing}) == 2
    assert names(f"st:{folder}", info)
    assert names(settings.model_name, info)
    assert not names(f"st:{folder}?dimension=8", info)
    assert not names(str(folder), info)


def test_a_collection_is_searched_as_it_was_made(
    context: Context, st: tuple[Path, Any], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for number in range(4):
        (data / f"{number}.png").write_bytes(toy_picture(number))
    settings = load_settings(home=str(tmp_path / "home"), model=f"st:{st[0]}?dimension=32")
    build(context, f"folder:{data}", settings.model_copy(update={"device": "cpu"}))
    plain = load_settings(home=str(tmp_path / "home"), device="cpu")
    searcher = open_searcher(context, plain)
    assert searcher.record.model.family == "Sentence Transformers"
    assert searcher.record.model.dimension == 32
    first = searcher.search(Question(image=str(data / "2.png"), alpha=1.0)).hits[0]
    assert first.fields["query"] == "2"
    assert first.score == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("size", [(10, 20), (768, 768), (1, 768), (257, 300)])
def test_a_picture_comes_out_of_its_square_as_it_was(size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    square = np.asarray(fitted(Image.fromarray(pixels), SIDE))
    assert square.shape == (SIDE, SIDE, 3)
    np.testing.assert_array_equal(np.asarray(unfitted(square)), pixels)
    large = Image.new("RGB", (3000, 1000))
    assert unfitted(np.asarray(fitted(large, SIDE))).size == (768, 256)
    assert unfitted(np.full((SIDE, SIDE, 3), 128, np.uint8)).size == (768, 768)


@pytest.fixture
def own(st: tuple[Path, Any], tmp_path: Path) -> Path:
    return Path(shutil.copytree(st[0], tmp_path / "own"))


def refusal(model: str, **options: Any) -> str:
    with pytest.raises((ModelError, DeviceError)) as caught:
        load_encoder(model, "cpu", **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_code_of_a_model_is_run_only_if_that_is_said_twice(own: Path, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    (own / "evil.py").write_text(f"open({str(proof)!r}, 'w')\nclass Evil: pass\n")
    modules = json.loads((own / "modules.json").read_text())
    modules[0]["type"] = "evil.Evil"
    (own / "modules.json").write_text(json.dumps(modules))
    said = refusal(f"st:{own}")
    assert "wants code of its own to be run (evil.Evil)" in said
    assert "--trust-remote-code" in said
    assert "MUGE_TRUST_REMOTE_CODE=1" in refusal(f"st:{own}?trust_remote_code=true")
    assert not proof.exists()
    refusal(f"st:{own}?trust_remote_code=true", trusted=True)
    assert proof.exists(), "the trap itself must work"


def test_code_that_a_configuration_names_is_not_run(own: Path) -> None:
    file = next(own.rglob("config.json"))
    change_config(file.parent, "config.json", auto_map={"AutoModel": "evil.Evil"})
    assert "auto_map of" in refusal(f"st:{own}")


def test_a_model_of_texts_has_no_picture_side(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=2000,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
    )
    BertModel(config).save_pretrained(tmp_path / "bert")
    make_tokenizer().save_pretrained(tmp_path / "bert")
    words = Transformer(str(tmp_path / "bert"))
    SentenceTransformer(modules=[words, Pooling(32)], device="cpu").save(str(tmp_path / "st"))
    assert describe_model(f"st:{tmp_path / 'st'}").dimension == 32
    assert "has no picture side: it reads text" in refusal(f"st:{tmp_path / 'st'}")


def test_what_cannot_be_is_one_line(own: Path) -> None:
    assert "cannot be cut to dimension 49" in refusal(f"st:{own}?dimension=49")
    assert "dimension is 'ten'" in refusal(f"st:{own}?dimension=ten")
    assert "'size' is none of dimension" in refusal(f"st:{own}?size=3")
    assert "expected true or false" in refusal(f"st:{own}?trust_remote_code=1")
    assert "precision fp8 is for Chinese-CLIP" in refusal(f"st:{own}", precision="fp8")
    assert "not for Sentence Transformers" in refusal(f"st:{own}", kernels="compile")
    (own / "modules.json").write_text("{}")
    assert "lists no modules" in refusal(f"st:{own}")
    (own / "modules.json").unlink()
    assert "modules.json is missing" in refusal(f"st:{own}")
    with pytest.raises(ModelError, match="are for models of Sentence Transformers"):
        _ = load_settings(model="sample", dimension=16).model_name
    assert load_settings(model="sample", trust_remote_code=True).model_name == "sample"


@pytest.mark.parametrize(
    ("model", "chosen", "right"),
    [
        ("st:a/b", Choices(8), "st:a/b?dimension=8"),
        ("st:a/b@v1", Choices(8), "st:a/b?dimension=8@v1"),
        ("st:a/b?dimension=4@v1", Choices(8, "x y"), "st:a/b?dimension=4&instruction=x%20y@v1"),
        ("st:a/b", Choices(trusted=True), "st:a/b?trust_remote_code=true"),
        ("a/b@v1", Choices(), "a/b@v1"),
    ],
)
def test_names_say_all_that_is_chosen(model: str, chosen: Choices, right: str) -> None:
    assert with_choices(model, chosen) == right
    assert with_choices(right, chosen) == right
    assert parse_name(right).place.startswith("a/b")
