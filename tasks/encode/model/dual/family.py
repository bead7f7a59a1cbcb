"""Dual encoders as the table of models knows them: recognised and described by their files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from tasks.encode.model.chinese_clip.family import hash_of
from tasks.encode.model.chinese_clip.layout import PIXEL_DEVIATION, PIXEL_MEAN, Config
from tasks.encode.model.contract import Encoder, Format, Kernels, ModelFolder, Precision
from tasks.encode.model.dual import squares
from tasks.encode.model.hashes import hash_file
from tasks.encode.model.hugging_face import (
    CONFIG_FILE,
    PICTURE_FILES,
    TOKENIZER_FILES,
    WORDS_FILES,
    model_type,
    picture_settings,
)
from tasks.encode.model.pixels import Square
from tasks.encode.model.weight_files import WEIGHT_FILES, hash_weights, weight_files
from tasks.errors import ModelError
from tasks.records import ModelInfo

if TYPE_CHECKING:
    import torch

VERSION = "transformers-1"
"""Changes whenever equal bytes or texts would reach a model differently."""
EXTRA = 'the extra "transformers": pip install "muge-search[transformers]"'
MOST_SIDE = 64  # of a square of patches: a long picture has at most its square of them in a row
_BICUBIC, _BILINEAR = 3, 2
_HALF = (0.5, 0.5, 0.5)


class DualFamily:
    """Folders of one `model_type`; a family says how its pictures are seen."""

    files: tuple[str, ...] = (CONFIG_FILE, *PICTURE_FILES, *TOKENIZER_FILES, *WEIGHT_FILES)
    optional = frozenset({*PICTURE_FILES, *TOKENIZER_FILES, *WEIGHT_FILES})

    model_type = ""
    name = ""
    seen: Square = staticmethod(squares.bicubic)
    resample = _BICUBIC
    mean, deviation = _HALF, _HALF
    pads_texts = False
    """Whether every text is padded to the longest, as the model was trained."""

    def recognises(self, folder: Path) -> bool:
        """Whether the configuration says this type, and its pictures are seen so."""
        return model_type(folder) == self.model_type

    def describe(self, folder: ModelFolder) -> ModelInfo:
        """The model's description; raises `ModelError` naming the file that is wrong."""
        config = Config(folder.path / CONFIG_FILE)
        self.check_pictures(folder.path, config)
        if not any((folder.path / name).is_file() for name in WORDS_FILES):
            raise ModelError(
                f"{folder.path} holds no tokenizer: expected one of {', '.join(WORDS_FILES)}"
            )
        shaping = [f for f in self.files if f not in WEIGHT_FILES and (folder.path / f).is_file()]
        shape = hash_of(hash_file(folder.path / name) for name in shaping)
        return ModelInfo(
            name=folder.name,
            revision=folder.revision,
            weights=hash_weights(weight_files(folder.path, from_hub=folder.revision != "")),
            dimension=self.dimension(config),
            resolution=self.resolution(folder.path, config),
            preprocessing=f"{VERSION}/{self.model_type}/{shape}",
        )

    def dimension(self, config: Config) -> int:
        """The length of the vectors."""
        return config.count("projection_dim", 512)

    def resolution(self, folder: Path, config: Config) -> int:
        """The side of the square that `square` makes."""
        return inner(config, "vision_config").count("image_size", 224)

    def check_pictures(self, folder: Path, config: Config) -> None:
        """Raise `ModelError` if a folder wants its pictures otherwise than the family."""
        file, values = picture_settings(folder)
        said, side = Config(file, values), self.resolution(folder, config)
        said.must_be("do_resize", True, True)
        said.must_be("resample", self.resample, self.resample)
        self.check_size(said, side)

    def check_size(self, said: Config, side: int) -> None:
        """Raise `ModelError` unless pictures are squashed to the model's square."""
        size = said.values.get("size", side)
        if size not in (side, {"height": side, "width": side}):
            raise said.error("size", size, f"height and width {side}, which the model takes")
        said.must_be("do_center_crop", False, said.values.get("do_center_crop") or False)

    def normalisation(self, folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation of the channels, on a scale of 0 to 1; raises `ModelError` for other
        than three numbers."""
        file, values = picture_settings(folder)
        said = Config(file, values)
        both = []
        for name, usual in (("image_mean", self.mean), ("image_std", self.deviation)):
            found = values.get(name, list(usual))
            if not isinstance(found, list) or len(found) != 3 or not all(map(_is_number, found)):
                raise said.error(name, found, "three numbers")
            both.append(tuple(map(float, found)))
        return both[0], both[1]

    def square(self, image: Image.Image, side: int) -> Image.Image:
        """The picture as the family's processor sees it."""
        return type(self).seen(image, side)

    def choose_format(
        self, folder: ModelFolder, device: torch.device, precision: Precision
    ) -> Format:
        """As `precision.choose_library_format`."""
        from tasks.encode.model.precision import choose_library_format

        return choose_library_format(folder, device, precision)

    def load(
        self,
        folder: ModelFolder,
        info: ModelInfo,
        device: torch.device,
        format: Format,
        kernels: Kernels,
    ) -> Encoder:
        """The encoder; raises `ModelError` if the library is not there, or for files that do not
        fit each other."""
        try:
            from tasks.encode.model.dual.encoder import read_dual_encoder
        except ImportError as error:
            raise ModelError(f"models of {self.name} need {EXTRA} ({error})") from None
        return read_dual_encoder(self, folder, info, device, format, kernels)


class ClipFamily(DualFamily):
    """`CLIPModel`."""

    model_type = "clip"
    name = "CLIP"
    seen = staticmethod(squares.middle)
    mean, deviation = PIXEL_MEAN, PIXEL_DEVIATION

    def check_size(self, said: Config, side: int) -> None:
        """The shorter side and the square cut out of the middle are the model's."""
        said.must_be("do_center_crop", True, True)
        for name, known in (
            ("size", (side, {"shortest_edge": side})),
            ("crop_size", (side, {"height": side, "width": side})),
        ):
            value = said.values.get(name, side)
            if value not in known:
                raise said.error(name, value, f"{side}, which the model takes")


class AltClipFamily(ClipFamily):
    """`AltCLIPModel`: CLIP's pictures, a text tower of many languages."""

    model_type = "altclip"
    name = "AltCLIP"

    def dimension(self, config: Config) -> int:
        """The length of the vectors."""
        return config.count("projection_dim", 768)


class SiglipFamily(DualFamily):
    """`SiglipModel` whose pictures are resized by bicubic interpolation."""

    model_type = "siglip"
    name = "SigLIP"
    pads_texts = True

    def recognises(self, folder: Path) -> bool:
        """Whether the type and the interpolation are this family's."""
        return super().recognises(folder) and not _is_bilinear(folder)

    def dimension(self, config: Config) -> int:
        """The length of the vectors."""
        return inner(config, "vision_config").count("hidden_size", 768)


class BilinearSiglipFamily(SiglipFamily):
    """`SiglipModel` whose pictures are resized by bilinear interpolation: the SigLIP 2 of one
    size."""

    seen = staticmethod(squares.bilinear)
    resample = _BILINEAR

    def recognises(self, folder: Path) -> bool:
        """Whether the type and the interpolation are this family's."""
        return DualFamily.recognises(self, folder) and _is_bilinear(folder)


class Siglip2Family(SiglipFamily):
    """`Siglip2Model`: pictures of any shape, as patches."""

    model_type = "siglip2"
    name = "SigLIP 2"
    seen = staticmethod(squares.patches)
    resample = _BILINEAR

    def recognises(self, folder: Path) -> bool:
        """Whether the configuration says this type."""
        return DualFamily.recognises(self, folder)

    def resolution(self, folder: Path, config: Config) -> int:
        """The side of the square with one row and one column of patches more."""
        file, values = picture_settings(folder)
        said = Config(file, values)
        most = said.count("max_num_patches", 256)
        a_side = math.isqrt(most)
        if a_side * a_side != most or a_side > MOST_SIDE:
            raise said.error("max_num_patches", most, "a square number, at most 4,096")
        return (a_side + 1) * squares.PATCH

    def check_size(self, said: Config, side: int) -> None:
        """Patches are of the one size that there is."""
        said.must_be("patch_size", squares.PATCH, squares.PATCH)


def inner(config: Config, name: str) -> Config:
    """A part of a configuration; one that is left out has the library's defaults."""
    values: Any = config.values.get(name, {})
    if not isinstance(values, dict):
        raise config.error(name, values, "an object")
    return Config(config.file, values)


def _is_bilinear(folder: Path) -> bool:
    try:
        return picture_settings(folder)[1].get("resample") == _BILINEAR
    except ModelError:
        return False


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
