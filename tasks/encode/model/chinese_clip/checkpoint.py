"""The weights file: read it safely, and give every tensor of it to exactly one place.

Weights come in the original's names (`bert.*`, `visual.*`, `text_projection`), some with prefixes
that training wrappers left. Reading is strict: a tensor that is missing, left over or of another
shape is an error that names it.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tasks.encode.model.chinese_clip.stored import UNUSED, unwrap
from tasks.encode.model.safetensors_file import read_tensors
from tasks.errors import ModelError
from tasks.opening import open_regular

# Our names to the original's; {} is query, key and value in turn where three tensors are joined.
_NAMES = (
    (r"text\.words", r"bert.embeddings.word_embeddings.weight"),
    (r"text\.positions", r"bert.embeddings.position_embeddings.weight"),
    (r"text\.segments", r"bert.embeddings.token_type_embeddings.weight"),
    (r"text\.norm\.", r"bert.embeddings.LayerNorm."),
    (r"text\.projection", r"text_projection"),
    (r"text\.blocks\.(\d+)\.attention\.qkv\.", r"bert.encoder.layer.\1.attention.self.{}."),
    (r"text\.blocks\.(\d+)\.attention\.out\.", r"bert.encoder.layer.\1.attention.output.dense."),
    (r"text\.blocks\.(\d+)\.norm1\.", r"bert.encoder.layer.\1.attention.output.LayerNorm."),
    (r"text\.blocks\.(\d+)\.up\.", r"bert.encoder.layer.\1.intermediate.dense."),
    (r"text\.blocks\.(\d+)\.down\.", r"bert.encoder.layer.\1.output.dense."),
    (r"text\.blocks\.(\d+)\.norm2\.", r"bert.encoder.layer.\1.output.LayerNorm."),
    (r"vision\.patches\.", r"visual.conv1."),
    (r"vision\.class_token", r"visual.class_embedding"),
    (r"vision\.positions", r"visual.positional_embedding"),
    (r"vision\.norm_in\.", r"visual.ln_pre."),
    (r"vision\.norm_out\.", r"visual.ln_post."),
    (r"vision\.projection", r"visual.proj"),
    (
        r"vision\.blocks\.(\d+)\.attention\.qkv\.",
        r"visual.transformer.resblocks.\1.attn.in_proj_",
    ),
    (
        r"vision\.blocks\.(\d+)\.attention\.out\.",
        r"visual.transformer.resblocks.\1.attn.out_proj.",
    ),
    (r"vision\.blocks\.(\d+)\.norm(\d)\.", r"visual.transformer.resblocks.\1.ln_\2."),
    (r"vision\.blocks\.(\d+)\.up\.", r"visual.transformer.resblocks.\1.mlp.c_fc."),
    (r"vision\.blocks\.(\d+)\.down\.", r"visual.transformer.resblocks.\1.mlp.c_proj."),
    (r"vision\.", r"visual."),  # the ResNet keeps the original's names
)


def read_weights(file: Path, mapped: bool = False) -> dict[str, Tensor]:
    """All tensors of a weights file on the CPU, by their original names without wrappers.

    Only tensors and plain containers are unpickled (`weights_only`): a file that asks for code to
    be run is refused. `mapped` leaves them in the file until they are used, for files that nobody
    writes to: as fast as safetensors would be, without a second copy. Raises `ModelError` naming
    the file.
    """
    if file.name.endswith(".safetensors"):
        return unwrap(read_tensors(file, mapped))
    return _state_dict(read_pickled(file, mapped), file)


def read_all_weights(files: Sequence[Path], mapped: bool = False) -> dict[str, Tensor]:
    """The tensors of one file or of all its shards; errors as `read_weights`, or for a tensor that
    two shards hold."""
    weights: dict[str, Tensor] = {}
    for file in files:
        part = read_weights(file, mapped)
        twice = sorted(weights.keys() & part.keys())
        if twice:
            raise ModelError(f"{file} holds {twice[0]}, and so does a shard before it")
        weights |= part
    return weights


def read_pickled(file: Path, mapped: bool = False) -> Any:
    """What torch.save wrote, as far as it is tensors and plain containers; errors as
    `read_weights`."""
    try:
        with warnings.catch_warnings():  # torch remarks on the pickles that it goes on to refuse
            warnings.simplefilter("ignore")
            open_regular(file).close()
            mapped = mapped and zipfile.is_zipfile(file)  # older files cannot be
            content: Any = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except FileNotFoundError:
        raise ModelError(f"{file} is missing") from None
    except pickle.UnpicklingError:
        raise ModelError(
            f"{file} is damaged or holds more than tensors; nothing of it was run. Expected a "
            "state_dict saved with torch.save"
        ) from None
    except Exception as error:  # damaged files raise of every kind
        reason = str(error).partition("\n")[0]
        raise ModelError(f"{file} cannot be read as weights: {reason}") from None
    return content


def fill(
    model: nn.Module,
    weights: dict[str, Tensor],
    file: Path,
    device: torch.device,
    dtype: torch.dtype,
) -> None:
    """Give a model without memory its weights, on a device and in one type; `weights` is emptied.

    Raises `ModelError` naming the tensors that are missing, left over, or of another shape.
    """
    places = {name: original_names(name) for name, _ in model.named_parameters()}
    expected = {source for sources in places.values() for source in sources}
    missing = sorted(expected - weights.keys())
    extra = sorted(name for name in weights.keys() - expected if not UNUSED.fullmatch(name))
    if missing or extra:
        raise ModelError(_mismatch(file, missing, extra))
    state = {}
    for name, parameter in model.named_parameters():
        parts = [weights.pop(source) for source in places[name]]
        for part, source in zip(parts, places[name], strict=True):
            _check_tensor(part, source, tuple(parameter.shape), len(parts), file)
        joined = parts[0] if len(parts) == 1 else torch.cat(parts)
        state[name] = joined.to(device, dtype)
    weights.clear()
    model.load_state_dict(state, strict=True, assign=True)


def original_names(name: str) -> tuple[str, ...]:
    """What the original calls a parameter of ours; three names if ours joins three of theirs.

    >>> original_names("vision.blocks.0.up.bias")
    ('visual.transformer.resblocks.0.mlp.c_fc.bias',)
    """
    for ours, theirs in _NAMES:
        found, count = re.subn(f"^{ours}", theirs, name)
        if count:
            parts = ("query", "key", "value") if "{}" in found else ("",)
            return tuple(found.format(part) for part in parts)
    raise KeyError(name)


def _state_dict(content: Any, file: Path) -> dict[str, Tensor]:
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not content:
        raise ModelError(f"{file} holds a {type(content).__name__}, expected named tensors")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            kind = type(value).__name__
            raise ModelError(f"{file}: {name!r} is a {kind}, expected named tensors only")
    return unwrap(content)


def _check_tensor(
    tensor: Tensor, name: str, shape: tuple[int, ...], joined: int, file: Path
) -> None:
    expected = (shape[0] // joined, *shape[1:])
    if tuple(tensor.shape) != expected:
        raise ModelError(f"{file}: {name} has shape {tuple(tensor.shape)}, expected {expected}")
    if not tensor.is_floating_point():
        raise ModelError(f"{file}: {name} holds {tensor.dtype}, expected floating point numbers")
    if tensor.layout != torch.strided or tensor.device.type != "cpu":
        raise ModelError(
            f"{file}: {name} is stored as {tensor.layout} on {tensor.device}, expected all of its "
            "numbers; save it with tensor.to_dense() on the CPU"
        )


def _mismatch(file: Path, missing: list[str], extra: list[str]) -> str:
    problems = [
        f"{len(names)} tensors {what} ({_some(names)})"
        for names, what in ((missing, "missing"), (extra, "unknown"))
        if names
    ]
    return f"{file} does not fit its configuration: {'; '.join(problems)}"


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown}, ..." if len(names) > 3 else shown
