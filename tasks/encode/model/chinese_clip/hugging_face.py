"""Chinese-CLIP as transformers keeps it (`ChineseCLIPModel`): read without that library.

`config.json` says the layout, `vocab.txt` or `tokenizer.json` the words, and the weights are one
file or shards, of safetensors or pickled. Its tensors are given the original's names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.encode.model.chinese_clip.family import ChineseClipFamily, hash_of
from tasks.encode.model.chinese_clip.layout import (
    LONGEST_TEXT,
    MOST_LAYERS,
    PIXEL_DEVIATION,
    PIXEL_MEAN,
    VOCABULARY_FILE,
    Config,
    ModelLayout,
    TextLayout,
    VisionLayout,
    read_json,
    read_vocabulary,
)
from tasks.encode.model.contract import ModelFolder
from tasks.encode.model.hashes import hash_file
from tasks.encode.model.hugging_face import CONFIG_FILE, PICTURE_FILES, model_type, picture_settings
from tasks.encode.model.weight_files import WEIGHT_FILES
from tasks.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

    from tasks.encode.model.chinese_clip.stored import StoredTensor

TOKENIZER_FILE = "tokenizer.json"
_MODEL_TYPE = "chinese_clip"

# Names of transformers to the original's; {} is query, key and value where the original joins them.
_NAMES = (
    (r"text_model\.encoder\.", r"bert.encoder."),
    (r"text_model\.embeddings\.", r"bert.embeddings."),
    (r"text_model\.pooler\.", r"bert.pooler."),
    (r"vision_model\.embeddings\.class_embedding", r"visual.class_embedding"),
    (r"vision_model\.embeddings\.position_embedding\.weight", r"visual.positional_embedding"),
    (r"vision_model\.embeddings\.patch_embedding\.", r"visual.conv1."),
    (r"vision_model\.pre_layrnorm\.", r"visual.ln_pre."),
    (r"vision_model\.post_layernorm\.", r"visual.ln_post."),
    (
        r"vision_model\.encoder\.layers\.(\d+)\.layer_norm(\d)\.",
        r"visual.transformer.resblocks.\1.ln_\2.",
    ),
    (
        r"vision_model\.encoder\.layers\.(\d+)\.mlp\.fc1\.",
        r"visual.transformer.resblocks.\1.mlp.c_fc.",
    ),
    (
        r"vision_model\.encoder\.layers\.(\d+)\.mlp\.fc2\.",
        r"visual.transformer.resblocks.\1.mlp.c_proj.",
    ),
    (
        r"vision_model\.encoder\.layers\.(\d+)\.self_attn\.out_proj\.",
        r"visual.transformer.resblocks.\1.attn.out_proj.",
    ),
)
_JOINED = re.compile(
    r"vision_model\.encoder\.layers\.(\d+)\.self_attn\.(?P<part>[qkv])_proj\.(weight|bias)"
)
_TURNED = {"text_projection.weight": "text_projection", "visual_projection.weight": "visual.proj"}
_PICTURES = ("vision_model.", "visual_projection.")
_COUNTERS = re.compile(r"(text|vision)_model\.embeddings\.position_ids")


class HuggingFaceChineseClipFamily(ChineseClipFamily):
    """A folder of `ChineseCLIPModel`."""

    files = (CONFIG_FILE, VOCABULARY_FILE, TOKENIZER_FILE, *PICTURE_FILES, *WEIGHT_FILES)
    optional = frozenset({VOCABULARY_FILE, TOKENIZER_FILE, *PICTURE_FILES, *WEIGHT_FILES})

    model_type = _MODEL_TYPE

    def recognises(self, folder: Path) -> bool:
        """Whether its configuration names the class."""
        return model_type(folder) == _MODEL_TYPE

    def layout(self, folder: Path) -> ModelLayout:
        """The shape of the model, from `config.json`, and that its pictures are prepared as they
        are here."""
        _check_pictures(folder)
        whole = Config(folder / CONFIG_FILE)
        vision, text = (_part(whole, f"{name}_config") for name in ("vision", "text"))
        dimension = whole.count("projection_dim", 512)
        return ModelLayout(dimension, _vision_layout(vision), _text_layout(text))

    def words(self, folder: Path, count: int) -> Sequence[str]:
        """The words of `vocab.txt`, or where there is none of `tokenizer.json`."""
        if (folder / VOCABULARY_FILE).exists() or not (folder / TOKENIZER_FILE).exists():
            return read_vocabulary(folder, count, CONFIG_FILE)
        return _words_of_tokenizer(folder / TOKENIZER_FILE, count)

    def weights(self, folder: ModelFolder) -> dict[str, Tensor]:
        """The weights by the original's names."""
        return as_original(super().weights(folder))

    def stored(self, folder: ModelFolder) -> dict[str, StoredTensor] | None:
        """Those of the text tower by the original's names."""
        tensors = super().stored(folder)
        return None if tensors is None else _texts_as_original(tensors)

    def shape(self, folder: Path) -> str:
        """8 hex digits over the configuration and the words."""
        names = (VOCABULARY_FILE, TOKENIZER_FILE)
        words = next((name for name in names if (folder / name).exists()), VOCABULARY_FILE)
        return hash_of(hash_file(folder / name) for name in (CONFIG_FILE, words))


def as_original(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by transformers' names to the same by the original's; what it has no name for stays
    as it is."""
    import torch

    named: dict[str, Tensor] = {}
    joined: dict[str, dict[str, Tensor]] = {}
    for name, tensor in weights.items():
        found = _JOINED.fullmatch(name)
        if found:
            place = f"visual.transformer.resblocks.{found[1]}.attn.in_proj_{found[3]}"
            joined.setdefault(place, {})[found["part"]] = tensor
        elif name in _TURNED:
            named[_TURNED[name]] = tensor.t() if tensor.ndim == 2 else tensor
        elif not _COUNTERS.fullmatch(name):
            named[_original(name)] = tensor
    for place, parts in joined.items():
        if len(parts) == 3:
            named[place] = torch.cat([parts[part] for part in "qkv"])
    return named


def _texts_as_original(tensors: dict[str, StoredTensor]) -> dict[str, StoredTensor]:
    """As `as_original`, without what is a picture tower's."""
    return {
        _TURNED.get(name, _original(name)): replace(tensor, turned=name in _TURNED)
        for name, tensor in tensors.items()
        if not name.startswith(_PICTURES) and not _COUNTERS.fullmatch(name)
    }


def _original(name: str) -> str:
    for theirs, ours in _NAMES:
        found, count = re.subn(f"^{theirs}", ours, name)
        if count:
            return found
    return name


def _part(whole: Config, name: str) -> Config:
    values = whole.values.get(name)
    if not isinstance(values, dict):
        raise whole.error(name, values, "an object")
    older = whole.values.get(f"{name}_dict")  # what it was called once still counts
    return Config(whole.file, {**values, **(older if isinstance(older, dict) else {})})


def _vision_layout(config: Config) -> VisionLayout:
    # the defaults are those of the library, which leaves them out
    config.must_be("hidden_act", "quick_gelu", "quick_gelu")
    config.must_be("layer_norm_eps", 1e-5, 1e-5)
    config.must_be("num_channels", 3, 3)
    width, heads = config.count("hidden_size", 768), config.count("num_attention_heads", 12)
    config.must_be("intermediate_size", 4 * width, 3072)
    if width % heads:
        raise config.error("num_attention_heads", heads, f"a number that divides {width}")
    resolution, patch = config.count("image_size", 224), config.count("patch_size", 32)
    if resolution < patch:
        raise config.error("image_size", resolution, f"at least patch_size {patch}")
    layers = config.count("num_hidden_layers", 12, most=MOST_LAYERS)
    return VisionLayout(resolution, layers, width, patch, heads)


def _text_layout(config: Config) -> TextLayout:
    config.must_be("hidden_act", "gelu", "gelu")
    config.must_be("layer_norm_eps", 1e-12, 1e-12)
    layout = TextLayout(
        vocabulary=config.count("vocab_size", 30522),
        width=config.count("hidden_size", 768),
        layers=config.count("num_hidden_layers", 12, most=MOST_LAYERS),
        heads=config.count("num_attention_heads", 12),
        hidden=config.count("intermediate_size", 3072),
        positions=config.count("max_position_embeddings", 512),
        segments=config.count("type_vocab_size", 2),
    )
    if layout.width % layout.heads:
        expected = f"a number that divides {layout.width}"
        raise config.error("num_attention_heads", layout.heads, expected)
    if layout.positions < LONGEST_TEXT:
        raise config.error("max_position_embeddings", layout.positions, f"at least {LONGEST_TEXT}")
    return layout


def _check_pictures(folder: Path) -> None:
    """Raise `ModelError` if a folder wants its pictures otherwise than the family's models do."""
    file, values = picture_settings(folder)
    config = Config(file, values)
    config.must_be("do_center_crop", False, False)
    for name, expected in (("image_mean", PIXEL_MEAN), ("image_std", PIXEL_DEVIATION)):
        config.must_be(name, list(expected), list(expected))


def _words_of_tokenizer(file: Path, count: int) -> list[str]:
    said: Any = read_json(file)
    model = said.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(vocabulary, dict) or model.get("type", "WordPiece") != "WordPiece":
        raise ModelError(f"{file} holds no vocabulary of words and pieces (WordPiece)")
    rules = said.get("normalizer") or {}
    if rules.get("type") != "BertNormalizer" or rules.get("lowercase") is not True:
        raise ModelError(f"{file}: the normalizer is not BERT's with lowercase, as the family's is")
    words = sorted(vocabulary, key=lambda word: int(vocabulary[word]))
    if [vocabulary[word] for word in words] != list(range(count)):
        raise ModelError(
            f"{file} has {len(words):,} words, but {CONFIG_FILE} says vocab_size {count:,}: the "
            f"tokenizer does not fit the embedding table"
        )
    return words
