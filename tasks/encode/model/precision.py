"""In which number format a model works: the fastest that the machine has units for, or as asked."""

from __future__ import annotations

from typing import Literal

import torch

from tasks.encode.model.chinese_clip.layout import ModelLayout
from tasks.errors import DeviceError

Precision = Literal["auto", "fp32", "bf16", "fp16", "fp8"]
Format = Literal["fp32", "bf16", "fp16", "fp8"]

TYPES: dict[Format, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp8": torch.bfloat16,
}
"""The type of weights and states; in fp8 the large matrix products alone are of 8 bits."""

_FP8_CAPABILITY = (8, 9)  # Ada; Hopper is 9.0


def choose_format(precision: Precision, device: torch.device, layout: ModelLayout) -> Format:
    """The format that is meant; `auto` is bf16 on CUDA (fp16 where bf16 is only emulated), bf16 for
    a ViT on a CPU with units for it, and else fp32.

    A ResNet stays in fp32 on a CPU: its narrow convolutions are slower in bf16 even there. Raises
    `DeviceError` if the device has no fp8.
    """
    if precision == "auto":
        return _fastest(device, layout)
    if precision == "fp8" and not _has_fp8(device):
        raise DeviceError(
            f"precision fp8 was asked for, but {device} has no units for it (CUDA capability 8.9 "
            "and above have); use bf16, or auto"
        )
    return precision


def _fastest(device: torch.device, layout: ModelLayout) -> Format:
    if device.type == "cuda":
        with torch.cuda.device(device):
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16" if native else "fp16"
    is_vit = isinstance(layout.vision.layers, int)
    return "bf16" if device.type == "cpu" and is_vit and has_bf16_units() else "fp32"


def has_bf16_units() -> bool:
    """Whether this CPU multiplies bf16 itself: AMX or AVX512-bf16. AVX2 is 7 times slower in it."""
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def _has_fp8(device: torch.device) -> bool:
    if device.type != "cuda":
        return device.type == "cpu"  # slow there, but the same numbers: for judging accuracy
    return torch.cuda.get_device_capability(device) >= _FP8_CAPABILITY
