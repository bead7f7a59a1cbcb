"""Pixels and texts to vectors, by a model and a tokenizer of the library transformers.

Only classes of the library are used, with the attention of torch: what a folder says of code of its
own, or of code elsewhere, is not looked at.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import (
    AltCLIPModel,
    AutoTokenizer,
    CLIPModel,
    Siglip2Model,
    SiglipModel,
)

from tasks.encode.model.chinese_clip.kernels import prepare_tower
from tasks.encode.model.contract import Format, Kernels, ModelFolder
from tasks.encode.model.dual.squares import PATCH, shapes_of
from tasks.encode.model.library import quiet, told
from tasks.encode.model.precision import TYPES
from tasks.encode.model.towers_encoder import TowersEncoder, count_numbers, unit
from tasks.errors import DeviceError, ModelError
from tasks.records import ModelInfo

if TYPE_CHECKING:
    from tasks.encode.model.dual.family import DualFamily

CLASSES: dict[str, Any] = {
    "clip": CLIPModel,
    "altclip": AltCLIPModel,
    "siglip": SiglipModel,
    "siglip2": Siglip2Model,
}
_SAID = {"missing": "missing", "unexpected": "unknown", "mismatched": "of another shape"}


class DualEncoder(TowersEncoder):
    """A dual encoder on one device."""

    def __init__(
        self,
        family: DualFamily,
        folder: ModelFolder,
        info: ModelInfo,
        model: Any,
        tokenizer: Any,
        device: torch.device,
        format: Format,
        kernels: Kernels,
    ) -> None:
        """`model` holds its weights on `device`, in the type of `format`."""
        super().__init__(info, device, format, kernels)
        self._family = family
        self._model, self._tokenizer = model, tokenizer
        self._patches = family.model_type == "siglip2"
        if self._patches and kernels != "eager":
            raise DeviceError(f"kernels {kernels!r} are not for pictures of any shape; use eager")
        self._vision = prepare_tower(_PictureTower(model), kernels, device)
        mean, deviation = family.normalisation(folder.path)
        self._mean, self._deviation = (torch.tensor(v, device=device) for v in (mean, deviation))
        self._longest = _longest(model.config, tokenizer)
        self._lock = threading.Lock()  # a tokenizer is changed while it is used

    def parameters(self) -> dict[str, int]:
        """How many numbers each tower holds; projections and scales count to the text."""
        image = count_numbers(self._model.vision_model)
        return {"text": count_numbers(self._model) - image, "image": image}

    def square(self, image: Image.Image, side: int) -> Image.Image:
        """As the family sees it."""
        return self._family.square(image, side)

    def _features(self, pixels: Tensor) -> Tensor:
        pixels = pixels.to(self._place)
        batch = (pixels.float() / 255 - self._mean) / self._deviation
        if not self._patches:
            return self._vision(batch.permute(0, 3, 1, 2).to(self._type))
        n, side = len(pixels), pixels.shape[1] // PATCH
        laid = batch.view(n, side, PATCH, side, PATCH, 3).transpose(2, 3)
        most = (side - 1) ** 2
        flat = laid.reshape(n, side * side, -1)[:, :most]
        last = pixels[:, -1, -1].long()
        rows, columns = shapes_of(last)
        # what no square of a picture is, as when memory is measured, counts as a whole one
        counts = rows * columns
        whole = (counts < 1) | (counts > most)
        rows, columns = (torch.where(whole, side - 1, each) for each in (rows, columns))
        kept = torch.arange(most, device=pixels.device)[None] < (rows * columns)[:, None]
        values = torch.where(kept[..., None], flat, 0).to(self._type)
        shape = torch.stack([rows, columns], dim=1)
        found: Tensor = self._model.get_image_features(
            pixel_values=values, pixel_attention_mask=kept.int(), spatial_shapes=shape
        ).pooler_output
        return found

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        with self._lock:
            found = self._tokenizer(list(texts), truncation=True, max_length=self._longest)
        tokens: list[list[int]] = found["input_ids"]
        return tokens

    def _encode_tokens(self, tokens: list[list[int]]) -> Tensor:
        how: dict[str, Any] = {"padding": True}
        if self._family.pads_texts:
            how = {"padding": "max_length", "max_length": self._longest}
        with self._lock:
            padded = self._tokenizer.pad({"input_ids": tokens}, return_tensors="pt", **how)
        takes = self._tokenizer.model_input_names
        inputs = {name: padded[name].to(self._place) for name in padded if name in takes}

        def forward(start: int, stop: int) -> Tensor:
            part = {name: tensor[start:stop] for name, tensor in inputs.items()}
            return unit(self._model.get_text_features(**part).pooler_output)

        with torch.inference_mode():
            return self._texts.run(len(tokens), forward)


class _PictureTower(nn.Module):
    """Normalised pixels (N, 3, R, R) to features (N, D)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model = model

    def forward(self, pixels: Tensor) -> Tensor:
        """As the class says."""
        features: Tensor = self._model.get_image_features(pixel_values=pixels).pooler_output
        return features


def read_dual_encoder(
    family: DualFamily,
    folder: ModelFolder,
    info: ModelInfo,
    device: torch.device,
    format: Format,
    kernels: Kernels,
) -> DualEncoder:
    """Read a folder's model and tokenizer onto a device.

    Raises `ModelError` if the library cannot, if a tensor is missing, left over or of another
    shape, or if the tokenizer has more tokens than the embedding table.
    """
    with quiet(), told(folder.path, "transformers"):
        model, found = CLASSES[family.model_type].from_pretrained(
            folder.path,
            local_files_only=True,
            weights_only=True,
            attn_implementation="sdpa",
            dtype=TYPES[format],
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are said below, by their names
        )
        tokenizer = AutoTokenizer.from_pretrained(
            folder.path, local_files_only=True, trust_remote_code=False
        )
    wrong = {
        what: sorted(
            str(key[0] if isinstance(key, tuple) else key) for key in found[f"{what}_keys"]
        )
        for what in _SAID
    }
    said = [
        f"{len(names)} tensors {_SAID[what]} ({names[0]})" for what, names in wrong.items() if names
    ]
    if said:
        raise ModelError(f"{folder.path}: the weights do not fit config.json: {'; '.join(said)}")
    rows = int(model.config.text_config.vocab_size)
    if len(tokenizer) > rows:
        raise ModelError(
            f"{folder.path}: the tokenizer has {len(tokenizer):,} tokens, the embedding table "
            f"{rows:,} rows: the tokenizer does not fit the model"
        )
    model = model.requires_grad_(False).eval().to(device)
    return DualEncoder(family, folder, info, model, tokenizer, device, format, kernels)


def _longest(config: Any, tokenizer: Any) -> int:
    """The most tokens of a text that the model reads."""
    places = int(config.text_config.max_position_embeddings)
    if config.model_type == "altclip":  # its first places are for what is no text
        places -= int(config.text_config.pad_token_id) + 1
    return min(places, int(tokenizer.model_max_length))
