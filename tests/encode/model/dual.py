"""Tiny random dual encoders of transformers, written as the library writes them.

The library takes seconds to import, so that only what makes one does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from tests.encode.model.models import vocabulary

WORDS = 2000
TEXT = {
    "vocab_size": WORDS,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
Vision = Mapping[str, int]
VISION: Vision = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 64,
    "patch_size": 16,
}


def _clip(vision: Vision) -> Any:
    from transformers import CLIPConfig, CLIPModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    text = {**TEXT, "max_position_embeddings": 77, "eos_token_id": 3, "bos_token_id": 1}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=48)
    side = vision["image_size"]
    return CLIPModel(config), CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size=side)


def _altclip(vision: Vision) -> Any:
    from transformers import AltCLIPConfig, AltCLIPModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    text = {**TEXT, "max_position_embeddings": 514, "project_dim": 64, "pad_token_id": 0}
    config = AltCLIPConfig(text_config=text, vision_config=vision, projection_dim=48)
    side = vision["image_size"]
    return AltCLIPModel(config), CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size=side)


def _siglip(vision: Vision, resample: int) -> Any:
    from transformers import SiglipConfig, SiglipModel
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    text = {**TEXT, "max_position_embeddings": 64, "projection_size": vision["hidden_size"]}
    config = SiglipConfig(text_config=text, vision_config=vision)
    size = {"height": vision["image_size"], "width": vision["image_size"]}
    return SiglipModel(config), SiglipImageProcessorPil(size=size, resample=resample)


def _siglip2(vision: Vision) -> Any:
    from transformers import Siglip2Config, Siglip2Model
    from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

    text = {**TEXT, "max_position_embeddings": 64, "projection_size": vision["hidden_size"]}
    across = vision["image_size"] // vision["patch_size"]
    patches = across**2 if vision is not VISION else 36
    own = {name: value for name, value in vision.items() if name != "image_size"}
    config = Siglip2Config(text_config=text, vision_config={**own, "num_patches": patches})
    return Siglip2Model(config), Siglip2ImageProcessorPil(max_num_patches=patches)


MADE: dict[str, Callable[[Vision], Any]] = {
    "CLIP": _clip,
    "AltCLIP": _altclip,
    "SigLIP": lambda vision: _siglip(vision, 3),
    "SigLIP, bilinear": lambda vision: _siglip(vision, 2),
    "SigLIP 2": _siglip2,
}


def make_dual(folder: Path, name: str, vision: Vision = VISION) -> tuple[Any, Any, Any]:
    """Write one, tiny unless its picture side is given; gives the class, its processor of pictures
    and its tokenizer."""
    from transformers import AutoTokenizer

    torch.manual_seed(7)
    model, processor = MADE[name](vision)
    model.eval()
    for each, tensor in model.state_dict().items():
        if tensor.is_floating_point() and tensor.ndim:
            wide = tensor.ndim >= 2 and "embedding" not in each
            noise = torch.randn(tensor.shape) * (1.5 * tensor[0].numel() ** -0.5 if wide else 0.2)
            is_norm = "norm" in each.lower() and each.endswith("weight")
            tensor.copy_(1 + noise if is_norm else noise)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    make_tokenizer("SigLIP" in name).save_pretrained(folder)
    return model, processor, AutoTokenizer.from_pretrained(folder)  # as the library reads it


def make_tokenizer(one_end: bool = False) -> Any:
    """Words and pieces; texts begin and end with marks (of SigLIP: end with one)."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["[PAD]", "[BOS]", "[UNK]", "[EOS]"]
    words += [word for word in dict.fromkeys(map(str.strip, vocabulary())) if word not in words]
    made = Tokenizer(models.WordPiece({w: n for n, w in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    marks = [("[BOS]", 1), ("[EOS]", 3)]
    form = "$A [EOS]" if one_end else "[BOS] $A [EOS]"
    made.post_processor = processors.TemplateProcessing(single=form, special_tokens=marks)
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="[PAD]",
        bos_token="[BOS]",
        unk_token="[UNK]",
        eos_token="[EOS]",
        model_input_names=["input_ids"] if one_end else ["input_ids", "attention_mask"],
    )


def change_config(folder: Path, file: str, **values: Any) -> None:
    """Set values of a JSON file."""
    said = json.loads((folder / file).read_text("utf-8"))
    (folder / file).write_text(json.dumps({**said, **values}), encoding="utf-8")
