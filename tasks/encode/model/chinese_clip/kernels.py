"""How a tower is run: as it is written, compiled, or recorded as CUDA graphs.

Compiled and recorded towers work on fixed shapes, so batches are padded to powers of two.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tasks.encode.model.contract import Kernels
from tasks.errors import DeviceError

Tower = Callable[[Tensor], Tensor]

_COMPILERS = {
    ("cpu", "linux"): ("CXX", ("g++",)),
    ("cpu", "darwin"): ("CXX", ("clang++",)),
    ("cuda", "linux"): ("CC", ("gcc", "clang")),
}
"""What torch compiles with by device and system: what a variable names, or what is usual."""
_WARM_UP = 3  # calls before recording, in which libraries choose their kernels


def prepare_tower(tower: nn.Module, kernels: Kernels, device: torch.device) -> Tower:
    """A tower (N, ...) to (N, D), ready to be called from any thread.

    Raises `DeviceError` if graphs are asked for without CUDA, or compiling without a compiler.
    """
    if kernels == "eager":
        return tower
    if kernels == "compile":
        _check_compiler(device)
        return _padded(torch.compile(tower, dynamic=False))
    if device.type != "cuda":
        raise DeviceError(f"kernels 'graphs' are CUDA's, and the device is {device}; use compile")
    return _padded(GraphedTower(tower))


def _check_compiler(device: torch.device) -> None:
    variable, usual = _COMPILERS.get((device.type, sys.platform), ("", ()))
    named = os.environ.get(variable)
    wanted = (named,) if named else usual
    if wanted and not any(map(shutil.which, wanted)):
        raise DeviceError(
            f"kernels 'compile' need a compiler for {device}, and {' or '.join(wanted)} is not "
            "here; install it, or use eager"
        )


class GraphedTower:
    """A tower whose work on each shape is recorded once and then replayed in one launch."""

    def __init__(self, tower: nn.Module) -> None:
        self._tower = tower
        self._lock = threading.Lock()
        self._graphs: dict[torch.Size, tuple[torch.cuda.CUDAGraph, Tensor, Tensor]] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """States of one shape to features; calls follow each other on the device's one stream."""
        with self._lock, torch.cuda.device(x.device):
            if x.shape not in self._graphs:
                self._graphs[x.shape] = self._record(x)
            graph, states, features = self._graphs[x.shape]
            states.copy_(x)
            graph.replay()
            return features.clone()

    def _record(self, x: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor]:
        states = x.clone()
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                self._tower(states)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            features = self._tower(states)
        return graph, states, features


def _padded(tower: Tower) -> Tower:
    """The same for any number of rows, by rows of zeros up to a power of two."""

    def call(x: Tensor) -> Tensor:
        rows = len(x)
        more = (1 << (rows - 1).bit_length()) - rows
        if more:
            x = torch.cat([x, x.new_zeros(more, *x.shape[1:])])
        return tower(x)[:rows]

    return call
