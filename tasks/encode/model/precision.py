"""In which number format a model works: the fastest that the machine has units for, or as asked."""

from __future__ import annotations

import torch

from tasks.encode.model.contract import Format, ModelFolder, Precision
from tasks.errors import DeviceError

TYPES: dict[Format, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp8": torch.bfloat16,
}
"""The type of weights and states; in fp8 the large matrix products alone are of 8 bits."""

_FP8_CAPABILITY = (8, 9)  # Ada; Hopper is 9.0


def choose_format(precision: Precision, device: torch.device, bf16_on_cpu: bool) -> Format:
    """The format that is meant; `auto` is bf16 on CUDA (fp16 where bf16 is only emulated), bf16 on
    a CPU with units for it if the model gains by it there (`bf16_on_cpu`), and else fp32.

    Raises `DeviceError` if the device has no fp8.
    """
    if precision == "auto":
        return _fastest(device, bf16_on_cpu)
    if precision == "fp8" and not _has_fp8(device):
        raise DeviceError(
            f"precision fp8 was asked for, but {device} has no units for it (CUDA capability 8.9 "
            "and above have); use bf16, or auto"
        )
    return precision


def has_units(format: Format, device: torch.device) -> bool:
    """Whether a device computes in a format at its own speed: then it is worth working as somebody
    else did."""
    if format == "fp32":
        return True
    if device.type == "cpu":
        return format == "bf16" and has_bf16_units()
    if device.type != "cuda":
        return False
    return _has_fp8(device) if format == "fp8" else format == "fp16" or _has_native_bf16(device)


def compute_in(format: Format, device: torch.device) -> None:
    """Let fp32 mean fp32 on a GPU: left alone, torch's convolutions there round to 10 bits (TF32),
    which moves vectors by more than parity allows. Holds for the whole process."""
    if format == "fp32" and device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False


def _fastest(device: torch.device, bf16_on_cpu: bool) -> Format:
    if device.type == "cuda":
        return "bf16" if _has_native_bf16(device) else "fp16"
    return "bf16" if device.type == "cpu" and bf16_on_cpu and has_bf16_units() else "fp32"


def _has_native_bf16(device: torch.device) -> bool:
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def has_bf16_units() -> bool:
    """Whether this CPU multiplies bf16 itself: AMX or AVX512-bf16. AVX2 is 7 times slower in it."""
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def _has_fp8(device: torch.device) -> bool:
    if device.type != "cuda":
        return device.type == "cpu"  # slow there, but the same numbers: for judging accuracy
    return torch.cuda.get_device_capability(device) >= _FP8_CAPABILITY


def choose_library_format(
    folder: ModelFolder, device: torch.device, precision: Precision
) -> Format:
    """As `choose_format`, for families whose towers are a library's: without fp8."""
    if precision == "fp8":
        raise DeviceError(f"precision fp8 is for Chinese-CLIP, and {folder.name} is none")
    return choose_format(precision, device, bf16_on_cpu=True)
