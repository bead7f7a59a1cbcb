"""Which devices a model runs on."""

from __future__ import annotations

import torch

from tasks.errors import DeviceError


def choose_devices(device: str) -> list[torch.device]:
    """The devices meant by auto, cpu, cuda, cuda:N or mps, the best first.

    auto takes CUDA, else MPS, else the CPU; auto and cuda take every GPU of the machine. Raises
    `DeviceError` saying what was asked for and what is there.
    """
    there = available_devices()
    gpus = [name for name in there if name.startswith("cuda")]
    wanted = {"auto": gpus or there[:1], "cuda": gpus}.get(device, [device])
    if not wanted or wanted[0] not in there:
        raise DeviceError(
            f"device {device!r} was asked for, but this machine has: {', '.join(there)}; "
            "use one of these, or auto"
        )
    return [torch.device(name) for name in wanted]


def choose_device(device: str) -> torch.device:
    """The first of `choose_devices`."""
    return choose_devices(device)[0]


def available_devices() -> list[str]:
    """The devices of this machine, the best first."""
    cuda = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*cuda, *mps, "cpu"]
