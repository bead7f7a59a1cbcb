"""Tiny random models in the family's own file layout, made by the original class."""

from __future__ import annotations

import importlib
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

DIMENSION = 64


@dataclass(frozen=True)
class TinyModel:
    """A folder that can be loaded, and the original class holding the same weights."""

    folder: Path
    original: Any
    tokenizer: Any

    @property
    def resolution(self) -> int:
        config = json.loads((self.folder / "vision_model_config.json").read_text())
        return int(config["image_resolution"])


def original_module(name: str) -> ModuleType:
    """A module of ModelScope's own implementation; its imports and classes may warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(f"modelscope.models.multi_modal.clip.{name}")


def vocabulary() -> list[str]:
    """Words enough for Chinese, English pieces, digits, marks and a few symbols."""
    ascii_marks = [chr(code) for code in range(33, 127)]
    letters = [char for char in ascii_marks if char.isalnum() and char == char.lower()]
    return [
        "[PAD]",
        *(f"[unused{number}]" for number in range(1, 20)),
        *("[UNK]", "[CLS]", "[SEP]", "[MASK]", "\u2028"),
        *ascii_marks,
        *(f"##{char}" for char in letters),
        *("hello", "dress", "##ing", "##es", "un", "##able", "2023", "##23", "ⅱ", "##ⅱ"),
        *"，。！？：“”（）【】、《》…—·～％￥＋ａｂ１２αβσςя한ㄱかアñø°²℃★☆♥😀🥹🐼👍‍️ｱ",
        *(chr(code) for code in range(0x4E00, 0x5400)),
        *"猫狗红色连衣裙女新款很长熊",
        *"豈㐀𠀀𫝀𫠠丽",
    ]


def text_config(width: int = 48, heads: int = 12, layers: int = 2) -> dict[str, Any]:
    return {
        "vocab_size": len(vocabulary()),
        "text_attention_probs_dropout_prob": 0.1,
        "text_hidden_act": "gelu",
        "text_hidden_dropout_prob": 0.1,
        "text_hidden_size": width,
        "text_initializer_range": 0.02,
        "text_intermediate_size": 4 * width,
        "text_max_position_embeddings": 64,
        "text_num_attention_heads": heads,
        "text_num_hidden_layers": layers,
        "text_type_vocab_size": 2,
    }


def vision_config(
    resolution: int = 224, layers: int | str = 2, width: int = 128, patch: int | None = 16
) -> dict[str, Any]:
    return {
        "embed_dim": DIMENSION,
        "image_resolution": resolution,
        "vision_layers": layers,
        "vision_width": width,
        "vision_patch_size": patch,
    }


LARGE_TEXT = text_config(width=64, heads=16, layers=3)
FAMILY: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "vit-b": (vision_config(), text_config()),
    "vit-l": (vision_config(patch=14), LARGE_TEXT),
    "vit-l-336": (vision_config(336, layers=1, patch=14), LARGE_TEXT),
    "vit-h": ({**vision_config(width=160, patch=14), "vision_head_width": 80}, LARGE_TEXT),
    "resnet": (vision_config(96, "[1, 2, 2, 1]", 16, None), text_config(layers=1)),
    "resnet-50": (vision_config(64, "[3,4,6,3]", 8, None), text_config(layers=1)),
}


def make_model(
    folder: Path, family: str = "vit-b", seed: int = 0, words: bytes | None = None
) -> TinyModel:
    """Write a random model of one of `FAMILY`; the file is as ModelScope's are. `words` are
    another `vocab.txt`."""
    vision, text = FAMILY[family]
    folder.mkdir(parents=True, exist_ok=True)
    own = ("\n".join(vocabulary()) + "\n").encode() if words is None else words
    (folder / "vocab.txt").write_bytes(own)
    write_json(folder / "vision_model_config.json", vision)
    write_json(folder / "text_model_config.json", {**text, "vocab_size": own.count(b"\n")})
    write_json(folder / "configuration.json", {"model": {"type": "clip-multi-modal-embedding"}})
    model = load_original(folder)
    _randomise(model.original, seed)
    torch.save({"state_dict": model.original.state_dict()}, folder / "pytorch_model.bin")
    return model


def load_original(folder: Path) -> TinyModel:
    """The original class for the configuration in a folder, with fresh weights."""
    tokenizer = original_module("bert_tokenizer").FullTokenizer(str(folder / "vocab.txt"))
    arguments = {
        **json.loads((folder / "vision_model_config.json").read_text()),
        **json.loads((folder / "text_model_config.json").read_text()),
    }
    if isinstance(arguments["vision_layers"], str):
        arguments["vision_layers"] = json.loads(arguments["vision_layers"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        original = original_module("model").CLIP(**arguments, tokenizer=tokenizer).eval()
    return TinyModel(folder, original, tokenizer)


def write_json(file: Path, values: Any) -> None:
    file.write_text(json.dumps(values), encoding="utf-8")


def read_state(folder: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(folder / "pytorch_model.bin")["state_dict"]
    return state


def _randomise(model: nn.Module, seed: int) -> None:
    """Values that make every tensor matter; fresh weights leave biases 0 and norms 1."""
    source = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if not tensor.is_floating_point():
            continue
        noise = torch.randn(tensor.shape, generator=source)
        if name.endswith("running_var"):
            tensor.copy_(0.5 + noise.abs())
        elif tensor.ndim == 1 and name.endswith("weight"):  # of a norm
            tensor.copy_(1 + 0.2 * noise)
        elif tensor.ndim <= 1 or "embedding" in name:
            tensor.copy_(0.2 * noise)
        else:
            tensor.copy_(noise * 1.5 * (tensor[0].numel() ** -0.5))
