"""Which device a model runs on, and in which number format."""

from __future__ import annotations

import torch

from tasks.errors import DeviceError


def choose_device(device: str) -> torch.device:
    """The device meant by auto, cpu, cuda, cuda:N or mps; auto takes CUDA, else MPS, else the CPU.

    Raises `DeviceError` saying what was asked for and what is there.
    """
    there = available_devices()
    if device == "auto":
        return torch.device(there[0])
    wanted = "cuda:0" if device == "cuda" else device
    if wanted not in there:
        raise DeviceError(
            f"device {device!r} was asked for, but this machine has: {', '.join(there)}; "
            "use one of these, or auto"
        )
    return torch.device(wanted)


def available_devices() -> list[str]:
    """The devices of this machine, the best first."""
    cuda = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*cuda, *mps, "cpu"]


def working_type(device: torch.device) -> torch.dtype:
    """float32, but on CUDA bfloat16, or float16 where bfloat16 is only emulated."""
    if device.type != "cuda":
        return torch.float32
    with torch.cuda.device(device):
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if native else torch.float16
