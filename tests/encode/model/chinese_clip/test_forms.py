"""The same model in every form it is published in: cn_clip's checkpoints, transformers' folders."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import sys
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tasks.encode.model.card import model_card
from tasks.encode.model.chinese_clip import cn_clip
from tasks.encode.model.chinese_clip.cn_clip import layout_of
from tasks.encode.model.chinese_clip.convert import convert_model
from tasks.encode.model.chinese_clip.layout import PIXEL_DEVIATION, PIXEL_MEAN, read_layout
from tasks.encode.model.chinese_clip.standard_vocabulary import SHA256, standard_vocabulary
from tasks.encode.model.chinese_clip.tokenizer import TextTokenizer
from tasks.encode.model.describe import describe_model
from tasks.encode.model.load import load_encoder
from tasks.errors import ModelError
from tasks.records import Float32, Uint8
from tasks.settings import load_settings
from tests.encode.model.chinese_clip.test_parity import (
    TEXTS,
    original_images,
    original_texts,
    pictures,
    spread,
)
from tests.encode.model.models import FAMILY, TinyModel, make_model, read_state, write_json

VITS = [family for family in FAMILY if family.startswith("vit")]
Checkpoint = Callable[[str], "CnClip"]


@dataclass(frozen=True)
class CnClip:
    """A checkpoint as cn_clip's training writes it, and the original class with its weights."""

    file: Path
    model: TinyModel


@pytest.fixture
def tiny_widths(monkeypatch: pytest.MonkeyPatch) -> None:
    """The widths of the tiny models, so that their heads are known."""
    for table, known in (
        (cn_clip.VISION_HEAD_WIDTHS, {128: 64, 160: 80}),
        (cn_clip.RESNET_HEAD_WIDTHS, {8: 64, 16: 64}),
        (cn_clip.TEXT_HEAD_WIDTHS, {48: 4, 64: 4}),
    ):
        for width, head in known.items():
            monkeypatch.setitem(table, width, head)


@pytest.fixture
def checkpoint(tmp_path: Path, tiny_widths: None) -> Checkpoint:
    def make(family: str) -> CnClip:
        model = make_model(tmp_path / "original", family, words=standard_vocabulary())
        state = {f"module.{name}": value for name, value in read_state(model.folder).items()}
        adam = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(4)}}}
        content = {"epoch": 3, "step": 99, "name": "run", "state_dict": state, "optimizer": adam}
        torch.save(content, tmp_path / "epoch_latest.pt")
        return CnClip(tmp_path / "epoch_latest.pt", model)

    return make


@pytest.mark.parametrize("family", FAMILY)
def test_a_checkpoint_of_cn_clip_gives_the_originals_vectors(
    checkpoint: Checkpoint, family: str
) -> None:
    made = checkpoint(family)
    encoder = load_encoder(str(made.file), "cpu", "fp32")
    pixels = pictures(3, encoder.info.resolution)
    images, texts = original_images(made.model, pixels), original_texts(made.model, TEXTS)
    assert min(spread(images), spread(texts)) > 0.02
    np.testing.assert_allclose(encoder.encode_images(pixels), images, rtol=0, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), texts, rtol=0, atol=1e-5)
    assert encoder.info.family == "Chinese-CLIP of cn_clip"
    assert (encoder.info.dimension, encoder.info.revision) == (64, "")


def test_a_folder_with_one_checkpoint_is_that_checkpoint(checkpoint: Checkpoint) -> None:
    file = checkpoint("resnet").file
    folder = file.parent / "folder"
    folder.mkdir()
    place = file.rename(folder / "clip_cn_rn50.pt")
    alone, inside = describe_model(str(place)), describe_model(str(folder))
    assert (alone.weights, alone.preprocessing) == (inside.weights, inside.preprocessing)
    (folder / "epoch1.pt").write_bytes(b"another")
    with pytest.raises(ModelError, match=r"holds 2 checkpoints \(clip_cn_rn50.pt, epoch1.pt\)"):
        describe_model(str(folder))


@pytest.mark.skipif(importlib.util.find_spec("cn_clip") is None, reason="needs cn-clip")
@pytest.mark.parametrize("family", FAMILY)
def test_cn_clips_own_class_gives_the_same(
    checkpoint: Checkpoint, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = checkpoint(family)
    own = cn_clips_class(made.model.folder, monkeypatch)
    state = torch.load(made.file)["state_dict"]
    state = {name.removeprefix("module."): value for name, value in state.items()}
    own.load_state_dict({k: v for k, v in state.items() if "bert.pooler" not in k})
    other = TinyModel(made.model.folder, own, made.model.tokenizer)
    encoder = load_encoder(str(made.file), "cpu", "fp32")
    pixels = pictures(3, encoder.info.resolution)
    images, texts = original_images(other, pixels), original_texts(other, TEXTS)
    np.testing.assert_allclose(encoder.encode_images(pixels), images, rtol=0, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), texts, rtol=0, atol=1e-5)


def cn_clips_class(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Its CLIP for the configurations of a folder; what the package imports for its preparation of
    pictures is not needed."""
    if importlib.util.find_spec("torchvision") is None:
        transforms = types.ModuleType("torchvision.transforms")
        for name in ("Compose", "ToTensor", "Normalize", "Resize", "InterpolationMode"):
            setattr(transforms, name, object)
        monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
        monkeypatch.setitem(sys.modules, "torchvision.transforms", transforms)
    said: dict[str, Any] = {}
    for name in ("vision", "text"):
        said |= json.loads((folder / f"{name}_model_config.json").read_text())
    if isinstance(said["vision_layers"], str):
        said["vision_layers"] = json.loads(said["vision_layers"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("cn_clip.clip.model").CLIP(**said).eval()


PUBLISHED = {
    "ViT-B-16": ((768, 12, 16, 224), (768, 12), 512, 12, 12),
    "ViT-B-32": ((768, 12, 32, 224), (768, 12), 512, 12, 12),
    "ViT-L-14": ((1024, 24, 14, 224), (768, 12), 768, 16, 12),
    "ViT-L-14-336": ((1024, 24, 14, 336), (768, 12), 768, 16, 12),
    "ViT-H-14": ((1280, 32, 14, 224), (1024, 24), 1024, 16, 16),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_families_are_told_by_their_shapes(name: str) -> None:
    (width, layers, patch, side), (text, depth), dimension, heads, text_heads = PUBLISHED[name]
    shapes: dict[str, tuple[int, ...]] = {
        "visual.conv1.weight": (width, 3, patch, patch),
        "visual.positional_embedding": ((side // patch) ** 2 + 1, width),
        "text_projection": (text, dimension),
        "bert.embeddings.word_embeddings.weight": (21128, text),
        "bert.embeddings.position_embeddings.weight": (512, text),
        "bert.embeddings.token_type_embeddings.weight": (2, text),
        "bert.encoder.layer.0.intermediate.dense.weight": (4 * text, text),
    }
    for n in range(layers):
        shapes[f"visual.transformer.resblocks.{n}.ln_1.weight"] = (width,)
    for n in range(depth):
        shapes[f"bert.encoder.layer.{n}.output.dense.weight"] = (text, 4 * text)
    found = layout_of(shapes, Path("clip.pt"))
    assert (found.vision.width, found.vision.layers) == (width, layers)
    assert (found.vision.patch, found.vision.resolution, found.dimension) == (
        patch,
        side,
        dimension,
    )
    assert (found.vision.heads, found.text.heads, found.text.layers) == (heads, text_heads, depth)


def test_rn50_is_told_by_its_shapes() -> None:
    shapes: dict[str, tuple[int, ...]] = {
        "visual.conv1.weight": (32, 3, 3, 3),
        "visual.attnpool.positional_embedding": (50, 2048),
        "text_projection": (768, 1024),
        "bert.embeddings.word_embeddings.weight": (21128, 768),
        "bert.embeddings.position_embeddings.weight": (512, 768),
        "bert.embeddings.token_type_embeddings.weight": (2, 768),
        "bert.encoder.layer.0.intermediate.dense.weight": (3072, 768),
    }
    for stage, blocks in enumerate((3, 4, 6, 3), start=1):
        for n in range(blocks):
            shapes[f"visual.layer{stage}.{n}.conv1.weight"] = (64, 64, 1, 1)
    shapes |= {f"bert.encoder.layer.{n}.output.dense.weight": (768, 3072) for n in range(3)}
    found = layout_of(shapes, Path("clip.pt"))
    assert (found.vision.layers, found.vision.heads) == ((3, 4, 6, 3), 32)
    assert (found.vision.resolution, found.text.layers, found.dimension) == (224, 3, 1024)


def test_the_standard_vocabulary_is_berts() -> None:
    words = standard_vocabulary().decode().splitlines()
    assert SHA256.startswith("45bbac6b341c")
    assert [words[n] for n in (0, 100, 101, 102, 103)] == [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
    ]
    file = standard_vocabulary().decode().removesuffix("\n").split("\n")
    assert len(file) == 21128
    assert TextTokenizer(file).encode("一只猫") == [101, 671, 1372, 4344, 102]


@dataclass(frozen=True)
class HuggingFace:
    """A folder of the library's class, and the class itself."""

    folder: Path
    model: Any

    def images(self, pixels: Uint8) -> Float32:
        scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        mean = torch.tensor(PIXEL_MEAN).view(3, 1, 1)
        deviation = torch.tensor(PIXEL_DEVIATION).view(3, 1, 1)
        with torch.inference_mode():
            return unit(self.model.get_image_features(pixel_values=(scaled - mean) / deviation))

    def texts(self, texts: tuple[str, ...]) -> Float32:
        words = (self.folder / "vocab.txt").read_text("utf-8").removesuffix("\n").split("\n")
        tokens = [TextTokenizer([word.strip() for word in words]).encode(text) for text in texts]
        ids = torch.zeros(len(texts), 52, dtype=torch.long)
        for row, some in enumerate(tokens):
            ids[row, : len(some)] = torch.tensor(some)
        with torch.inference_mode():
            kept = (ids != 0).long()
            return unit(self.model.get_text_features(input_ids=ids, attention_mask=kept))


def unit(features: Any) -> Float32:
    found = getattr(features, "pooler_output", features)
    vectors: Float32 = F.normalize(found, dim=-1).numpy()
    return vectors


def hugging_face(
    folder: Path, family: str, shard: str = "5GB", pickled: bool = False
) -> HuggingFace:
    """Write a random model of the library's class with the shapes of one of ours."""
    transformers = pytest.importorskip("transformers")
    vision, text = FAMILY[family]
    width = vision["vision_width"]
    words = make_model(folder.parent / "words", "resnet").folder / "vocab.txt"
    config = transformers.ChineseCLIPConfig(
        text_config={
            name.removeprefix("text_"): value
            for name, value in text.items()
            if name not in ("text_initializer_range",)
        },
        vision_config={
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_hidden_layers": vision["vision_layers"],
            "num_attention_heads": width // vision.get("vision_head_width", 64),
            "image_size": vision["image_resolution"],
            "patch_size": vision["vision_patch_size"],
        },
        projection_dim=64,
    )
    torch.manual_seed(5)
    model = transformers.ChineseCLIPModel(config).eval()
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            wide = tensor.ndim >= 2 and "embedding" not in name
            scale = 1.5 * tensor[0].numel() ** -0.5 if wide else 0.2
            noise = torch.randn(tensor.shape) * scale
            tensor.copy_(1 + noise if "norm" in name.lower() and name.endswith("weight") else noise)
    folder.mkdir(parents=True)
    if pickled:
        config.architectures = ["ChineseCLIPModel"]
        config.save_pretrained(folder)
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    else:
        model.save_pretrained(folder, max_shard_size=shard)
    (folder / "vocab.txt").write_bytes(words.read_bytes())
    return HuggingFace(folder, model)


@pytest.mark.parametrize("family", VITS)
def test_a_folder_of_transformers_gives_its_class_vectors(tmp_path: Path, family: str) -> None:
    made = hugging_face(tmp_path / "model", family)
    encoder = load_encoder(str(made.folder), "cpu", "fp32")
    pixels = pictures(3, encoder.info.resolution)
    images, texts = made.images(pixels), made.texts(TEXTS)
    assert min(spread(images), spread(texts)) > 0.02
    np.testing.assert_allclose(encoder.encode_images(pixels), images, rtol=0, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), texts, rtol=0, atol=1e-5)
    assert encoder.info.family == "Chinese-CLIP of transformers"


@pytest.mark.parametrize("how", ["sharded", "pickled"])
def test_every_kind_of_weights_of_a_folder(tmp_path: Path, how: str) -> None:
    made = hugging_face(
        tmp_path / "model", "vit-b", "400KB" if how == "sharded" else "5GB", how == "pickled"
    )
    names = {path.name for path in made.folder.iterdir()}
    assert ("model.safetensors.index.json" in names) == (how == "sharded")
    assert ("pytorch_model.bin" in names) == (how == "pickled")
    encoder = load_encoder(str(made.folder), "cpu", "fp32")
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), made.texts(TEXTS), rtol=0, atol=1e-5)
    if how == "sharded":
        shard = min(made.folder.glob("model-*.safetensors"))
        shard.unlink()
        with pytest.raises(ModelError, match=rf"shards, of which 1 are missing \({shard.name}\)"):
            describe_model(str(made.folder))
        (made.folder / "model.safetensors.index.json").unlink()
        with pytest.raises(ModelError, match=r"no model\.safetensors\.index\.json that says"):
            describe_model(str(made.folder))


def test_words_may_be_in_tokenizer_json(tmp_path: Path) -> None:
    made = hugging_face(tmp_path / "model", "vit-b")
    right = load_encoder(str(made.folder), "cpu", "fp32").encode_texts(TEXTS)
    lines = (made.folder / "vocab.txt").read_text("utf-8").removesuffix("\n").split("\n")
    last = {word.strip(): n for n, word in enumerate(lines)}
    words = {
        word.strip() if last[word.strip()] == n else f"[{n}]": n for n, word in enumerate(lines)
    }
    (made.folder / "vocab.txt").unlink()
    said = {
        "normalizer": {"type": "BertNormalizer", "lowercase": True},
        "model": {"type": "WordPiece", "vocab": words},
    }
    write_json(made.folder / "tokenizer.json", said)
    found = load_encoder(str(made.folder), "cpu", "fp32").encode_texts(TEXTS)
    np.testing.assert_array_equal(found, right)
    del words["猫"]
    write_json(made.folder / "tokenizer.json", said)
    assert "does not fit the embedding table" in refusal(made.folder)
    write_json(made.folder / "tokenizer.json", {"model": {"type": "BPE", "vocab": {}}})
    assert "no vocabulary of words and pieces" in refusal(made.folder)


def test_what_a_folder_says_otherwise_is_refused(tmp_path: Path) -> None:
    folder = hugging_face(tmp_path / "model", "vit-b").folder
    write_json(folder / "preprocessor_config.json", {"do_center_crop": True})
    assert "do_center_crop is True, expected False" in refusal(folder)
    write_json(folder / "preprocessor_config.json", {"image_mean": [0.5, 0.5, 0.5]})
    assert "image_mean is [0.5" in refusal(folder)
    (folder / "preprocessor_config.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    for part, name, value in (
        ("vision_config", "hidden_act", "gelu"),
        ("vision_config", "num_attention_heads", 7),
        ("text_config", "vocab_size", 5),
        ("text_config", "layer_norm_eps", 1e-5),
    ):
        write_json(folder / "config.json", {**config, part: {**config[part], name: value}})
        said = refusal(folder)
        assert str(folder) in said
        assert name in said


def refusal(model: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_encoder(str(model), "cpu")
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("form", ["cn_clip", "transformers", "modelscope"])
def test_conversion_keeps_the_vectors(form: str, checkpoint: Checkpoint, tmp_path: Path) -> None:
    if form == "cn_clip":
        source = checkpoint("vit-h").file
    elif form == "transformers":
        source = hugging_face(tmp_path / "hf", "vit-l").folder
    else:
        source = make_model(tmp_path / "ms", "resnet").folder
    out = tmp_path / "out" / "converted"
    done = convert_model(str(source), str(out))
    assert done.largest_difference <= 1e-6
    assert (done.checked, done.out) == (5, str(out))
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md",
        "configuration.json",
        "model.safetensors",
        "text_model_config.json",
        "vision_model_config.json",
        "vocab.txt",
    ]
    before, after = (load_encoder(str(model), "cpu", "fp32") for model in (source, out))
    assert after.info.family == "Chinese-CLIP"
    pixels = pictures(2, before.info.resolution)
    np.testing.assert_allclose(
        after.encode_images(pixels), before.encode_images(pixels), rtol=0, atol=1e-6
    )
    np.testing.assert_allclose(
        after.encode_texts(TEXTS), before.encode_texts(TEXTS), rtol=0, atol=1e-6
    )
    card = (out / "README.md").read_text("utf-8")
    assert before.info.weights in card
    assert after.info.weights in card
    assert read_layout(out).dimension == before.info.dimension
    with pytest.raises(ModelError, match="is there already"):
        convert_model(str(source), str(out))
    safe = pytest.importorskip("safetensors.torch").load_file(out / "model.safetensors")
    assert "visual.conv1.weight" in safe


def test_a_card_says_form_and_towers(checkpoint: Checkpoint) -> None:
    file = checkpoint("vit-b").file
    card = model_card(str(file), load_settings(device="cpu", precision="fp32"))
    assert card.family == "Chinese-CLIP of cn_clip"
    assert card.architecture == "ViT 2 x 128 at 224 px, text of 2 layers, 48 wide"
    assert [each.name for each in card.files] == ["epoch_latest.pt"]


def test_numbers_that_are_none_are_named(checkpoint: Checkpoint, tmp_path: Path) -> None:
    file = checkpoint("vit-b").file
    content = torch.load(file)
    words = content["state_dict"]["module.bert.embeddings.word_embeddings.weight"]
    words[20_000, 3] = float("nan")  # a word of which no check of vectors hears
    torch.save(content, file)
    with pytest.raises(ModelError, match=r"word_embeddings\.weight holds 1 values .* no numbers"):
        convert_model(str(file), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    words[:] = float("nan")
    torch.save(content, file)
    assert "zeros or no numbers" in refusal(file)


def test_an_embedding_table_of_other_words_is_refused(
    own: Callable[[str], TinyModel], tiny_widths: None
) -> None:
    folder = own("vit-b").folder
    file = folder.parent / "other.pt"
    torch.save(read_state(folder), file)
    assert "the embedding table has 1,769 rows, the standard vocabulary" in refusal(file)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"visual.conv1.weight": torch.zeros(640, 3, 16, 16)}, "a ViT of width 640, expected one"),
        ({"visual.conv1.weight": torch.zeros(128)}, "holds no Chinese-CLIP of cn_clip"),
        ({"visual.positional_embedding": torch.zeros(190, 128)}, "holds no Chinese-CLIP"),
        ({"text_projection": None}, "'text_projection'"),
    ],
)
def test_shapes_that_are_none_of_cn_clips(
    checkpoint: Checkpoint, change: dict[str, torch.Tensor | None], said: str
) -> None:
    made = checkpoint("vit-b")
    state = {**read_state(made.model.folder), **change}
    torch.save({n: t for n, t in state.items() if t is not None}, made.file)
    message = refusal(made.file)
    assert said in message
    assert str(made.file) in message


class Trap:
    """A pickle that writes a file when it is opened."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.file, "run"))


def test_a_checkpoint_of_code_is_refused_and_not_run(tmp_path: Path) -> None:
    file, proof = tmp_path / "epoch_latest.pt", tmp_path / "proof"
    torch.save({"state_dict": {}, "optimizer": Trap(proof)}, file)
    assert "nothing of it was run" in refusal(file)
    folder = hugging_face(tmp_path / "hf", "vit-b", pickled=True).folder
    torch.save({"extra": Trap(proof)}, folder / "pytorch_model.bin")
    assert "nothing of it was run" in refusal(folder)
    assert not proof.exists()


def test_two_kinds_of_weights_are_refused(own: Callable[[str], TinyModel], tmp_path: Path) -> None:
    folder = own("resnet").folder
    convert_model(str(folder), str(tmp_path / "out"))
    (tmp_path / "out" / "model.safetensors").rename(folder / "model.safetensors")
    said = refusal(folder)
    assert "two kinds of weights, model.safetensors and pytorch_model.bin" in said
    (folder / "pytorch_model.bin").unlink()
    assert load_encoder(str(folder), "cpu").info.dimension == 64


def test_safetensors_that_are_damaged_are_named(
    own: Callable[[str], TinyModel], tmp_path: Path
) -> None:
    convert_model(str(own("resnet").folder), str(tmp_path / "out"))
    file = tmp_path / "out" / "model.safetensors"
    whole = file.read_bytes()
    header = int.from_bytes(whole[:8], "little")
    for content in (
        b"",
        b"\x80\x02}",
        whole[: 8 + header // 2],
        whole[:-1],
        (1 << 60).to_bytes(8, "little") + whole[8:],
        re.sub(rb'"F32"', b'"F99"', whole, count=1),
        re.sub(rb'"data_offsets":\[0,', b'"data_offsets":[9,', whole, count=1),
        (2).to_bytes(8, "little") + b"[]",
    ):
        file.write_bytes(content)
        assert str(file) in refusal(file.parent)
