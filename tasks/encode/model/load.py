"""A model's name to its encoder, loaded once a process."""

from __future__ import annotations

import sys
import threading

import numpy as np

from tasks.encode.model.accelerators import is_without_accelerator
from tasks.encode.model.contract import (
    Encoder,
    Format,
    Kernels,
    Precision,
    TextEncoder,
    check_directions,
)
from tasks.encode.model.families import describe_folder, family_of
from tasks.encode.model.locate import locate_model
from tasks.errors import ModelError
from tasks.records import ModelInfo
from tasks.settings import Settings

TRIED_TEXT = "红色连衣裙"


def encoder_for(
    model: str, settings: Settings, device: str | None = None, as_made: str = ""
) -> Encoder:
    """The encoder of a model, working as the options say, on `device` (None: the options' own);
    `as_made` and errors as `load_encoder`."""
    place = settings.device if device is None else device
    trusted = settings.trust_remote_code
    return load_encoder(model, place, settings.precision, settings.kernels, as_made, trusted)


def load_encoder(
    model: str,
    device: str = "auto",
    precision: Precision = "auto",
    kernels: Kernels = "eager",
    as_made: str = "",
    trusted: bool = False,
) -> Encoder:
    """The encoder of a model, loaded once a process for each model file, device and way of working.

    `model` is "sample", a folder, or a ModelScope id; `device` as in `choose_device`, `precision`
    as in its family's `choose_format`. `as_made` is the format that its vectors are to stand
    beside, "" for none: that is what `auto` means where the device has units for it. Code that
    comes with a model is run if both its name and `trusted` say so. Raises `ModelError` or
    `DeviceError`.
    """
    # torch: slow, and often not needed
    from tasks.encode.model.device import choose_device
    from tasks.encode.model.memory import device_errors
    from tasks.encode.model.precision import TYPES, compute_in, has_units

    place = choose_device(device)
    with _loading:
        folder = locate_model(model)
        if folder.choices.trusted and not trusted:
            raise ModelError(
                f"{folder.name} runs code that comes with it; if you have read it and trust it, "
                "give --trust-remote-code, or set MUGE_TRUST_REMOTE_CODE=1"
            )
        family = family_of(folder.path)
        info = describe_folder(folder)
        same = next((format for format in TYPES if format == as_made), None)
        if precision == "auto" and same is not None and has_units(same, place):
            precision = same
        format = family.choose_format(folder, place, precision)
        key = (info, str(place), format, kernels)
        if key not in _loaded:
            compute_in(format, place)
            with device_errors(place, f"model {folder.name}"):
                encoder = family.load(folder, info, place, format, kernels)
            _check_vectors(encoder, folder.name, kernels)
            _loaded[key] = encoder
        return _loaded[key]


def texts_for(model: str, settings: Settings, as_made: str = "") -> TextEncoder:
    """What encodes texts, in the format of `as_made`: without torch where the family can do that on
    this machine and the process has not loaded it anyway, else as `encoder_for`."""
    return _without_torch(model, settings, as_made) or encoder_for(model, settings, as_made=as_made)


def _without_torch(model: str, settings: Settings, as_made: str) -> TextEncoder | None:
    """Vectors are the same to 2e-6; importing torch takes longer than all of a search."""
    full = settings.precision == "fp32" or (settings.precision, as_made) == ("auto", "fp32")
    if "torch" in sys.modules or not full or settings.kernels != "eager":
        return None
    if settings.device != "cpu" and not (settings.device == "auto" and is_without_accelerator()):
        return None
    folder = locate_model(model)
    family = family_of(folder.path)
    load = getattr(family, "load_texts", None)
    return None if load is None else load(folder, describe_folder(folder))


def _check_vectors(encoder: Encoder, name: str, kernels: Kernels) -> None:
    """Raise `ModelError` as `check_directions` does, of a text and a picture."""
    side = encoder.info.resolution
    check_directions(encoder.encode_texts([TRIED_TEXT]), "texts", name)
    if kernels == "eager":  # a tower is compiled for minutes, for the batches that it will get
        grey = encoder.encode_images(np.full((1, side, side, 3), 128, np.uint8))
        check_directions(grey, "pictures", name)


_loading = threading.Lock()
_loaded: dict[tuple[ModelInfo, str, Format, Kernels], Encoder] = {}
