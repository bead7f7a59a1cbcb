"""The picture tower of the family's ResNet models.

CLIP's variant (Radford et al. 2021, section 2.4): a stem of three convolutions, average pooling in
place of strides, and attention in place of the last pooling. Names of parameters are the
original's.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tasks.encode.model.chinese_clip.layout import VisionLayout

_EPSILON = 1e-5  # of the norms
EXPANSION = 4  # channels that leave a bottleneck, as a multiple of those inside
STRIDES = (1, 2, 2, 2)


class ResNetTower(nn.Module):
    """(N, 3, R, R) normalised pixels to (N, D) features."""

    def __init__(self, layout: VisionLayout, layers: tuple[int, ...], dimension: int) -> None:
        super().__init__()
        width = layout.width
        channels = (3, width // 2, width // 2, width)
        for number, (before, after) in enumerate(pairwise(channels), start=1):
            stride = 2 if number == 1 else 1
            self.add_module(f"conv{number}", convolution(before, after, 3, stride))
            self.add_module(f"bn{number}", FixedNorm(after))
        before = width
        for number, (blocks, stride) in enumerate(zip(layers, STRIDES, strict=True)):
            inner = width * 2**number
            self.add_module(f"layer{number + 1}", stage(before, inner, blocks, stride))
            before = inner * EXPANSION
        tokens = (layout.resolution // 32) ** 2 + 1
        self.attnpool = AttentionPool(before, layout.heads, tokens, dimension)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (N, 3, R, R) to features (N, D)."""
        x = pixels
        for number in (1, 2, 3):
            x = self.get_submodule(f"conv{number}")(x)
            x = F.relu(self.get_submodule(f"bn{number}")(x))
        x = F.avg_pool2d(x, 2)
        for number in (1, 2, 3, 4):
            x = self.get_submodule(f"layer{number}")(x)
        features: Tensor = self.attnpool(x)
        return features


class Bottleneck(nn.Module):
    """A residual block of 1x1, 3x3 and 1x1 convolutions that may halve the sides."""

    def __init__(self, before: int, inner: int, stride: int) -> None:
        super().__init__()
        after = inner * EXPANSION
        self.stride = stride
        self.conv1, self.bn1 = convolution(before, inner, 1), FixedNorm(inner)
        self.conv2, self.bn2 = convolution(inner, inner, 3), FixedNorm(inner)
        self.conv3, self.bn3 = convolution(inner, after, 1), FixedNorm(after)
        self.downsample: nn.Sequential | None = None
        if stride > 1 or before != after:
            self.downsample = nn.Sequential(convolution(before, after, 1), FixedNorm(after))

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) to (N, 4 * inner, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(self._pool(y)))
        if self.downsample is not None:
            x = self.downsample(self._pool(x))
        return F.relu(x + y)

    def _pool(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.stride) if self.stride > 1 else x


class AttentionPool(nn.Module):
    """One attention whose only query is the mean over all places."""

    def __init__(self, width: int, heads: int, tokens: int, dimension: int) -> None:
        super().__init__()
        self.heads = heads
        self.positional_embedding = nn.Parameter(torch.empty(tokens, width, device="meta"))
        self.q_proj = nn.Linear(width, width, device="meta")
        self.k_proj = nn.Linear(width, width, device="meta")
        self.v_proj = nn.Linear(width, width, device="meta")
        self.c_proj = nn.Linear(width, dimension, device="meta")

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) to (N, D)."""
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat([x.mean(dim=1, keepdim=True), x], dim=1) + self.positional_embedding
        query = self._heads(self.q_proj(x[:, :1]))
        key, value = self._heads(self.k_proj(x)), self._heads(self.v_proj(x))
        y = F.scaled_dot_product_attention(query, key, value)
        features: Tensor = self.c_proj(y.transpose(1, 2).flatten(1))
        return features

    def _heads(self, x: Tensor) -> Tensor:
        """(N, L, width) to (N, heads, L, width / heads)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


class FixedNorm(nn.Module):
    """Batch normalisation with the statistics of training."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_parameter(name, nn.Parameter(torch.empty(channels, device="meta")))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to the same."""
        mean, variance = self.get_parameter("running_mean"), self.get_parameter("running_var")
        scale, shift = self.get_parameter("weight"), self.get_parameter("bias")
        return F.batch_norm(x, mean, variance, scale, shift, eps=_EPSILON)

    def fold_into(self, convolution: nn.Conv2d) -> None:
        """Give the convolution before this norm the weights and a bias that do what both did."""
        mean, variance = self.get_parameter("running_mean"), self.get_parameter("running_var")
        factor = self.get_parameter("weight").float() * (variance.float() + _EPSILON).rsqrt()
        weight = convolution.weight.float() * factor[:, None, None, None]
        bias = self.get_parameter("bias").float() - mean.float() * factor
        kind = convolution.weight.dtype
        convolution.weight = nn.Parameter(weight.to(kind), requires_grad=False)
        convolution.bias = nn.Parameter(bias.to(kind), requires_grad=False)


def fold_norms(tower: nn.Module) -> None:
    """Put each norm of a trained tower into the convolution before it: a sixth of the time."""
    for part in [*tower.modules()]:
        names = dict(part.named_children())
        for name, norm in names.items():
            if isinstance(norm, FixedNorm):
                before = names["0" if name == "1" else name.replace("bn", "conv")]
                assert isinstance(before, nn.Conv2d)
                norm.fold_into(before)
                setattr(part, name, nn.Identity())


def convolution(before: int, after: int, size: int, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the sides (or halves them with stride 2), without bias."""
    return nn.Conv2d(before, after, size, stride, size // 2, bias=False, device="meta")


def stage(before: int, inner: int, blocks: int, stride: int) -> nn.Sequential:
    """Blocks of one width; the first takes the stride."""
    first = Bottleneck(before, inner, stride)
    rest = (Bottleneck(inner * EXPANSION, inner, 1) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)
