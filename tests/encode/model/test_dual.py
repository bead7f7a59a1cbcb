"""CLIP, AltCLIP, SigLIP and SigLIP 2 give what the library's own processor and model give."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from tasks.encode.model.describe import describe_model, family_reference, square_of
from tasks.encode.model.load import load_encoder
from tasks.encode.model.pixels import decode_picture
from tasks.errors import DeviceError, ModelError
from tests.encode.model.dual import MADE, change_config, make_dual
from tests.encode.model.pictures import saved
from tests.encode.stage.parts import Pictures, encode, make_pictures
from tests.extras import needs

needs("transformers", "transformers")

TEXTS = ["一只猫", "红色连衣裙", "hello", "", "很长的裙子" * 60]
Dual = Callable[[str], tuple[Path, Any, Any, Any]]


@pytest.fixture(scope="module")
def dual(tmp_path_factory: pytest.TempPathFactory) -> Dual:
    """Models by family, made once; tests must not write to their folders."""
    made: dict[str, tuple[Path, Any, Any, Any]] = {}

    def get(name: str) -> tuple[Path, Any, Any, Any]:
        if name not in made:
            folder = tmp_path_factory.mktemp("dual") / "model"
            made[name] = (folder, *make_dual(folder, name))
        return made[name]

    return get


def some_pictures() -> list[Image.Image]:
    """Wide, tall, square, of the very size, tiny, and in other modes."""
    random = np.random.default_rng(3)

    def picture(width: int, height: int) -> Image.Image:
        coarse = random.integers(0, 256, (5, 7, 3), dtype=np.uint8)
        return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)

    return [
        picture(200, 90),
        picture(61, 240),
        picture(64, 64),
        picture(640, 20),
        picture(9, 7),
        picture(100, 100).convert("L"),
        picture(120, 70).convert("P"),
    ]


@pytest.mark.parametrize("name", MADE)
def test_vectors_are_those_of_the_library(dual: Dual, name: str) -> None:
    folder, model, processor, tokenizer = dual(name)
    encoder = load_encoder(str(folder), "cpu", "fp32")
    pictures = some_pictures()
    side, square = encoder.info.resolution, square_of(str(folder))
    pixels = [decode_picture(saved(p, "PNG"), side, 10**7, square=square).pixels for p in pictures]
    with torch.inference_mode():
        inputs = processor([p.convert("RGB") for p in pictures], return_tensors="pt")
        images = F.normalize(model.get_image_features(**inputs).pooler_output, dim=-1).numpy()
        how = {"padding": "max_length", "max_length": 64} if "SigLIP" in name else {"padding": True}
        longest = 77 if name == "CLIP" else 512 if name == "AltCLIP" else 64
        tokens = tokenizer(
            TEXTS, truncation=True, return_tensors="pt", **{"max_length": longest, **how}
        )
        texts = F.normalize(model.get_text_features(**tokens).pooler_output, dim=-1).numpy()
    assert spread(images) > 0.02
    assert spread(texts) > 0.02
    np.testing.assert_allclose(encoder.encode_images(np.stack(pixels)), images, rtol=0, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), texts, rtol=0, atol=1e-5)
    assert encoder.info == describe_model(str(folder))
    assert (encoder.info.family, encoder.info.dimension) == (name, images.shape[1])


def spread(vectors: Any) -> float:
    pairs = np.abs(vectors[:, None] - vectors[None]).max(axis=2)
    return float(pairs[~np.eye(len(vectors), dtype=bool)].min())


def test_pictures_go_through_the_stage(dual: Dual, tmp_path: Path) -> None:
    folder = dual("SigLIP 2")[0]
    some = make_pictures(6, bad=[2])
    done = encode(tmp_path / "out", folder, Pictures(some.entries, some.data))
    assert (done.rows, done.rejects, done.fresh) == (5, 1, 5)


def test_a_process_finds_the_square_by_name(dual: Dual) -> None:
    assert family_reference(str(dual("CLIP")[0])) == "tasks.encode.model.dual.family:ClipFamily"


@pytest.fixture
def own(dual: Dual, tmp_path: Path) -> Callable[[str], Path]:
    def get(name: str) -> Path:
        return Path(shutil.copytree(dual(name)[0], tmp_path / "own"))

    return get


def refusal(folder: Path) -> str:
    with pytest.raises((ModelError, DeviceError)) as caught:
        load_encoder(str(folder), "cpu")
    message = str(caught.value)
    assert "\n" not in message
    return message


PICTURES = "preprocessor_config.json"


@pytest.mark.parametrize(
    ("name", "file", "values", "said"),
    [
        ("CLIP", PICTURES, {"do_center_crop": False}, "do_center_crop is False, expected True"),
        ("CLIP", PICTURES, {"crop_size": {"height": 32, "width": 64}}, "crop_size is"),
        ("CLIP", PICTURES, {"image_mean": [0.5]}, "image_mean is [0.5], expected three numbers"),
        ("SigLIP", PICTURES, {"size": {"height": 32, "width": 32}}, "size is"),
        ("SigLIP", PICTURES, {"resample": 0}, "resample is 0, expected 3"),
        ("SigLIP 2", PICTURES, {"max_num_patches": 37}, "max_num_patches is 37, expected a square"),
        ("CLIP", "config.json", {"model_type": "blip"}, "model_type is 'blip', which is not read"),
        (
            "CLIP",
            "config.json",
            {"projection_dim": 47},
            "2 tensors of another shape (text_pro",
        ),
        ("CLIP", "config.json", {"vision_config": 3}, "vision_config is 3"),
    ],
)
def test_what_does_not_fit_is_one_line(
    own: Callable[[str], Path], name: str, file: str, values: dict[str, Any], said: str
) -> None:
    folder = own(name)
    change_config(folder, file, **values)
    message = refusal(folder)
    assert said in message
    assert str(folder) in message
    if "model_type" in values:
        assert "read are altclip, chinese_clip, clip, siglip, siglip2" in message


def test_a_tokenizer_of_more_words_than_the_model(own: Callable[[str], Path]) -> None:
    folder = own("CLIP")
    said = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    said["model"]["vocab"] |= {f"word{n}": 3000 + n for n in range(900)}
    (folder / "tokenizer.json").write_text(json.dumps(said), encoding="utf-8")
    assert "the tokenizer does not fit the model" in refusal(folder)
    for file in folder.glob("tokenizer*"):
        file.unlink()
    assert "holds no tokenizer: expected one of tokenizer.json" in refusal(folder)


def test_code_in_a_folder_is_not_run(own: Callable[[str], Path], tmp_path: Path) -> None:
    folder, proof = own("CLIP"), tmp_path / "proof"
    (folder / "evil.py").write_text(f"open({str(proof)!r}, 'w')\nclass Evil: pass\n")
    own_code = {"AutoModel": "evil.Evil", "AutoConfig": "evil.Evil", "AutoTokenizer": "evil.Evil"}
    change_config(folder, "config.json", auto_map=own_code, _attn_implementation="evil/kernels")
    change_config(folder, "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Evil", None]})
    try:
        load_encoder(str(folder), "cpu")
    except ModelError as error:
        assert "\n" not in str(error)  # noqa: PT017
    assert not proof.exists()


def test_weights_that_do_not_fit_are_named(own: Callable[[str], Path]) -> None:
    from safetensors.torch import load_file, save_file

    folder = own("CLIP")
    weights = load_file(folder / "model.safetensors")
    saved_ones = {name: tensor for name, tensor in weights.items() if "text_projection" not in name}
    save_file(saved_ones, folder / "model.safetensors", {"format": "pt"})
    assert "1 tensors missing (text_projection.weight)" in refusal(folder)
    save_file({**weights, "extra": torch.zeros(2)}, folder / "model.safetensors", {"format": "pt"})
    assert "1 tensors unknown (extra)" in refusal(folder)
    bad = {**weights, "text_projection.weight": torch.full((48, 64), float("nan"))}
    save_file(bad, folder / "model.safetensors", {"format": "pt"})
    assert "zeros or no numbers" in refusal(folder)


def test_what_these_models_cannot_is_said(dual: Dual) -> None:
    folder = str(dual("SigLIP 2")[0])
    with pytest.raises(DeviceError, match="fp8 is for Chinese-CLIP"):
        load_encoder(folder, "cpu", "fp8")
    with pytest.raises(DeviceError, match="not for pictures of any shape"):
        load_encoder(folder, "cpu", "fp32", "compile")
