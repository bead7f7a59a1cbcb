"""What shape a model has, read from the files of its folder and checked, never assumed.

A folder is in ModelScope's layout for Chinese-CLIP: `vision_model_config.json`,
`text_model_config.json`, `vocab.txt`, `pytorch_model.bin` (or safetensors, see `weight_files`),
and, if it is there, `configuration.json` (what kind of model this is).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.encode.model.weight_files import PICKLED
from tasks.errors import ModelError
from tasks.opening import read_regular

KIND_FILE = "configuration.json"
VISION_FILE = "vision_model_config.json"
TEXT_FILE = "text_model_config.json"
VOCABULARY_FILE = "vocab.txt"
WEIGHTS_FILE = PICKLED
MODEL_FILES = (KIND_FILE, VISION_FILE, TEXT_FILE, VOCABULARY_FILE, WEIGHTS_FILE)

PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
"""Of CLIP's training pictures, channels R, G, B, on a scale of 0 to 1."""
MODEL_KIND = "clip-multi-modal-embedding"
HEAD_WIDTH = 64  # unless vision_head_width says otherwise, as it does for ViT-H
RESNET_REDUCTION = 32  # the sides shrink, and the width grows, by this much in a ResNet
MOST_TEXT_BYTES = 16 << 20
MOST_LAYERS, MOST = 1024, 1 << 20
"""What no model has more of: a module is made for each layer before weights are looked for."""
TEXT_EPSILON = 1e-12  # of the text tower's norms
LONGEST_TEXT = 52  # tokens, [CLS] and [SEP] included


@dataclass(frozen=True, slots=True)
class VisionLayout:
    """The picture tower: `resolution` and `patch` in pixels (patch 0 for a ResNet), `layers` a
    number for a ViT and four numbers for a ResNet, `heads` of its attention."""

    resolution: int
    layers: int | tuple[int, ...]
    width: int
    patch: int
    heads: int


@dataclass(frozen=True, slots=True)
class TextLayout:
    """The text tower: `hidden` is the width inside its feed-forward part, `positions` the longest
    text in tokens, `segments` the number of token types."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    hidden: int
    positions: int
    segments: int


@dataclass(frozen=True, slots=True)
class ModelLayout:
    """Both towers, and the length of the vectors they share."""

    dimension: int
    vision: VisionLayout
    text: TextLayout


def read_layout(folder: Path) -> ModelLayout:
    """Read and check the three JSON files of a model folder.

    Raises `ModelError` naming the file and what is wrong with it.
    """
    _check_kind(folder / KIND_FILE)
    vision = Config(folder / VISION_FILE)
    text = Config(folder / TEXT_FILE)
    return ModelLayout(vision.count("embed_dim"), _vision_layout(vision), _text_layout(text))


def read_vocabulary(folder: Path, words: int, said_by: str = TEXT_FILE) -> list[str]:
    """The words of `vocab.txt`, one a line, by token id; `words` is how many there must be, as the
    file `said_by` says.

    Raises `ModelError` if the file is missing, not UTF-8, or of another length.
    """
    file = folder / VOCABULARY_FILE
    lines = _read_text(file).split("\n")
    if lines[-1] == "":
        lines.pop()
    if len(lines) != words:
        raise ModelError(
            f"{file} has {len(lines):,} words, but {said_by} says vocab_size {words:,}: "
            "the tokenizer does not fit the embedding table"
        )
    return [line.strip() for line in lines]


class Config:
    """One JSON file, whose values are asked for by name and type."""

    def __init__(self, file: Path, values: dict[str, Any] | None = None) -> None:
        """`values` are those of a part of the file (None: all of it)."""
        self.file = file
        self.values = read_json(file) if values is None else values

    def count(self, name: str, default: int | None = None, most: int = MOST) -> int:
        """A whole number above 0; raises `ModelError` naming file, value and what is allowed."""
        value = self.values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
            raise self.error(name, value, f"a whole number above 0, at most {most:,}")
        return value

    def must_be(self, name: str, expected: object, default: object) -> None:
        """Raise `ModelError` unless a value (`default`: where there is none) is the only one that
        models are read with."""
        value = self.values.get(name, default)
        if value != expected:
            raise self.error(name, value, f"{expected!r}")

    def error(self, name: str, value: object, expected: str) -> ModelError:
        """That a value is not what was expected."""
        found = "missing" if name not in self.values else f"{value!r:.80}"
        return ModelError(f"{self.file}: {name} is {found}, expected {expected}")


def _vision_layout(config: Config) -> VisionLayout:
    layers, width = _layers(config), config.count("vision_width")
    resolution = config.count("image_resolution")
    head_width = config.count("vision_head_width", HEAD_WIDTH)
    if isinstance(layers, tuple):
        patch, block, whole = 0, RESNET_REDUCTION, width * RESNET_REDUCTION
    else:
        patch = block = config.count("vision_patch_size")
        whole = width
    if resolution < block or (resolution % block and patch == 0):
        raise config.error("image_resolution", resolution, f"a multiple of {block}")
    if whole % head_width:
        raise config.error("vision_head_width", head_width, f"a number that divides {whole}")
    return VisionLayout(resolution, layers, width, patch, whole // head_width)


def _layers(config: Config) -> int | tuple[int, ...]:
    """A number (ViT) or a list of four (ResNet); the original also writes the list as a string."""
    value: Any = config.values.get("vision_layers")
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise config.error("vision_layers", value, "a number or a list of 4") from None
    numbers = value if isinstance(value, list) and len(value) == 4 else [value]
    if not all(type(number) is int and 0 < number <= MOST_LAYERS for number in numbers):
        expected = f"a number or a list of 4, above 0 and at most {MOST_LAYERS:,}"
        raise config.error("vision_layers", value, expected)
    return tuple(numbers) if isinstance(value, list) else numbers[0]


def _text_layout(config: Config) -> TextLayout:
    layout = TextLayout(
        vocabulary=config.count("vocab_size"),
        width=config.count("text_hidden_size"),
        layers=config.count("text_num_hidden_layers", most=MOST_LAYERS),
        heads=config.count("text_num_attention_heads"),
        hidden=config.count("text_intermediate_size"),
        positions=config.count("text_max_position_embeddings"),
        segments=config.count("text_type_vocab_size"),
    )
    config.must_be("text_hidden_act", "gelu", None)
    if layout.width % layout.heads:
        expected = f"a number that divides text_hidden_size {layout.width}"
        raise config.error("text_num_attention_heads", layout.heads, expected)
    if layout.positions < LONGEST_TEXT:
        expected = f"at least {LONGEST_TEXT}"
        raise config.error("text_max_position_embeddings", layout.positions, expected)
    return layout


def _check_kind(file: Path) -> None:
    if not file.exists():  # checkpoints trained elsewhere come without it
        return
    model = read_json(file).get("model")
    kind = model.get("type") if isinstance(model, dict) else None
    if kind != MODEL_KIND:
        raise ModelError(
            f"{file}: model type is {kind!r}, expected {MODEL_KIND!r} (Chinese-CLIP; other "
            "families are not read)"
        )


def read_json(file: Path) -> dict[str, Any]:
    """A file that holds one JSON object; raises `ModelError` naming it."""
    try:
        values = json.loads(_read_text(file))
    except json.JSONDecodeError as error:
        raise ModelError(f"{file} is not JSON: {error}") from None
    except (ValueError, RecursionError):
        raise ModelError(
            f"{file} holds a number of thousands of digits, or lists in lists beyond measure"
        ) from None
    if not isinstance(values, dict):
        raise ModelError(f"{file} holds a {type(values).__name__}, expected an object")
    return values


def _read_text(file: Path) -> str:
    try:
        return read_regular(file, MOST_TEXT_BYTES).decode("utf-8")
    except FileNotFoundError:
        raise ModelError(
            f"{file} is missing: a model folder holds {', '.join(MODEL_FILES)}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"{file} cannot be read: {reason}") from None
