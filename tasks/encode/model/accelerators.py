"""Whether a machine has nothing but its CPU to run a model on, told without torch."""

from __future__ import annotations

import sys
from glob import glob

_TRACES = (
    *("/dev/nvidia*", "/proc/driver/nvidia", "/dev/nvhost*", "/dev/nvgpu*", "/dev/nvmap"),
    *("/dev/dxg", "/dev/kfd"),
)
"""What drivers of NVIDIA's GPUs and boards leave, WSL's of any GPU, and AMD's."""


def is_without_accelerator() -> bool:
    """Whether torch would surely find neither CUDA nor MPS here; False where only torch can say, as
    on every Mac."""
    return sys.platform == "linux" and not any(map(glob, _TRACES))
