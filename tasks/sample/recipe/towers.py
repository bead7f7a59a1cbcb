"""The student: the original Chinese-CLIP class, small, and its tokenizer."""

import importlib
import re
import sys
import types
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tasks.sample.recipe.packages import package_folder

EMBED_DIM = 256
MOST_TOKENS = 52
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True)
class VisionConfig:
    """vision_model_config.json; a list of layers and no patch size mean a ModifiedResNet."""

    embed_dim: int = EMBED_DIM
    image_resolution: int = 96
    vision_layers: tuple[int, ...] = (2, 2, 2, 2)
    vision_width: int = 16
    vision_patch_size: int | None = None
    vision_head_width: int = 64


@dataclass(frozen=True)
class TextConfig:
    """text_model_config.json, in the original's words."""

    vocab_size: int
    text_attention_probs_dropout_prob: float = 0.0
    text_hidden_act: str = "gelu"
    text_hidden_dropout_prob: float = 0.0
    text_hidden_size: int = 256
    text_initializer_range: float = 0.02
    text_intermediate_size: int = 1024
    text_max_position_embeddings: int = 64
    text_num_attention_heads: int = 4
    text_num_hidden_layers: int = 3
    text_type_vocab_size: int = 2


def mixed_precision() -> torch.autocast:
    """bfloat16 where the processor has units for it; elsewhere it would be several times slower."""
    able = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.autocast("cpu", torch.bfloat16, enabled=able)


def original_package(packages: Path) -> Any:
    """Import cn_clip.clip.model, the class that the original checkpoints are made for.

    Its package imports torchvision for preprocessing that is not used here: an empty stand-in
    takes its place where it is not installed.
    """
    if "torchvision" not in sys.modules and importlib.util.find_spec("torchvision") is None:
        transforms = types.ModuleType("torchvision.transforms")
        for name in ("Compose", "ToTensor", "Normalize", "Resize"):
            setattr(transforms, name, object)
        transforms.InterpolationMode = types.SimpleNamespace(BICUBIC=3)  # type: ignore[attr-defined]
        stand_in = types.ModuleType("torchvision")
        stand_in.transforms = transforms  # type: ignore[attr-defined]
        sys.modules["torchvision"] = stand_in
        sys.modules["torchvision.transforms"] = transforms
    folder = str(package_folder(packages, "cn_clip"))
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module("cn_clip.clip.model")


class Tokenizer:
    """The original's WordPiece over a vocabulary file."""

    def __init__(self, packages: Path, vocabulary: Path) -> None:
        original_package(packages)
        module = importlib.import_module("cn_clip.clip.bert_tokenizer")
        self.original: Any = module.FullTokenizer(str(vocabulary))
        self.pad: int = self.original.vocab["[PAD]"]
        self._start: int = self.original.vocab["[CLS]"]
        self._end: int = self.original.vocab["[SEP]"]
        self._known: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self.original.vocab)

    def ids(self, text: str) -> list[int]:
        """[CLS], at most 50 pieces, [SEP]."""
        if text not in self._known:
            pieces = self.original.convert_tokens_to_ids(self.original.tokenize(text))
            self._known[text] = [self._start, *pieces[: MOST_TOKENS - 2], self._end]
        return self._known[text]

    def batch(self, texts: Sequence[str]) -> Tensor:
        """Token ids, int64 (len(texts), longest), padded."""
        rows = [self.ids(text) for text in texts]
        longest = max(map(len, rows))
        return torch.tensor([row + [self.pad] * (longest - len(row)) for row in rows])


def write_vocabulary(packages: Path, texts: Sequence[str], file: Path) -> None:
    """Keep of the original 21,128 words the special ones, ASCII, and these texts' characters."""
    used = set("".join(texts)) | set("的一个只张图片表情卡通在里上下和有很小大着")
    source = package_folder(packages, "cn_clip") / "cn_clip" / "clip" / "vocab.txt"
    kept = [
        word
        for word in source.read_text("utf-8").splitlines()
        if word in _SPECIAL
        or (len(word) == 1 and (word in used or ord(word) < 128))
        or re.fullmatch(r"##[a-z0-9]", word)
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(kept) + "\n", "utf-8")


def build(packages: Path, tokenizer: Tokenizer, vision: VisionConfig) -> nn.Module:
    """A freshly initialised student."""
    text = TextConfig(vocab_size=len(tokenizer))
    clip: nn.Module = original_package(packages).CLIP(
        **asdict(vision), **asdict(text), tokenizer=tokenizer.original
    )
    return clip


def enlarge(state: dict[str, Tensor], old: int, new: int) -> dict[str, Tensor]:
    """Fit a ResNet's weights to another resolution: only its pooling knows where things are.

    :param old: side of the last feature map, image_resolution // 32; new: the side wanted
    """
    key = "visual.attnpool.positional_embedding"
    places = state[key]
    grid = places[1:].T.reshape(1, -1, old, old)
    grid = nn.functional.interpolate(grid, size=(new, new), mode="bilinear", align_corners=True)
    return {**state, key: torch.cat([places[:1], grid.flatten(2)[0].T])}


def encode_texts(student: nn.Module, tokenizer: Tokenizer, texts: Sequence[str]) -> Tensor:
    """Text vectors (len(texts), 256), not normalised; texts of like length go together.

    Most texts are words of two or three characters: padding them to a phrase's length would take
    several times longer.
    """
    lengths = [len(tokenizer.ids(text)) for text in texts]
    vectors: list[Tensor] = []
    order: list[int] = []
    for shortest, longest in ((0, 6), (6, 9), (9, MOST_TOKENS)):
        rows = [row for row, length in enumerate(lengths) if shortest < length <= longest]
        if rows:
            ids = tokenizer.batch([texts[row] for row in rows])
            vectors.append(student.encode_text(ids))  # type: ignore[operator]
            order += rows
    place = torch.empty(len(order), dtype=torch.int64)
    place[order] = torch.arange(len(order))
    return torch.cat(vectors)[place]
