"""The text tower (BERT) and the picture tower (ViT) of the Chinese-CLIP family.

Both are stacks of one kind of block; where the layer norm sits and which activation is used differ.
Modules are built on torch's "meta" device, without memory: `checkpoint.fill` gives them their
weights. Sources: BERT (Devlin et al. 2018), CLIP (Radford et al. 2021), Chinese-CLIP (Yang et al.
2022).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tasks.encode.model.chinese_clip.layout import (
    TEXT_EPSILON,
    ModelLayout,
    TextLayout,
    VisionLayout,
)
from tasks.encode.model.chinese_clip.resnet import ResNetTower

VISION_EPSILON = 1e-5


class ChineseClip(nn.Module):
    """Both towers; `vision` maps (N, 3, R, R) normalised pixels and `text` maps token ids to
    (N, D) features that are *not* normalised."""

    def __init__(self, layout: ModelLayout) -> None:
        super().__init__()
        self.text = TextTower(layout.text, layout.dimension)
        self.vision = build_vision(layout.vision, layout.dimension)


def build_vision(layout: VisionLayout, dimension: int) -> nn.Module:
    """A ViT if the layout counts layers, a ResNet if it lists them."""
    if isinstance(layout.layers, tuple):
        return ResNetTower(layout, layout.layers, dimension)
    return VisionTower(layout, layout.layers, dimension)


class TextTower(nn.Module):
    """BERT; the feature is the last layer's [CLS] state times a projection."""

    def __init__(self, layout: TextLayout, dimension: int) -> None:
        super().__init__()
        width = layout.width
        # Not nn.Embedding: to initialise one on "meta" imports torch's compiler, 2 seconds.
        self.words = weight(layout.vocabulary, width)
        self.positions = weight(layout.positions, width)
        self.segments = weight(layout.segments, width)
        self.norm = nn.LayerNorm(width, TEXT_EPSILON, device="meta")
        self.blocks = nn.ModuleList(
            PostNormBlock(width, layout.heads, layout.hidden, TEXT_EPSILON)
            for _ in range(layout.layers)
        )
        self.projection = weight(width, dimension)

    def forward(self, ids: Tensor, keep: Tensor | None) -> Tensor:
        """Token ids (N, L) int64, and which of them count (N, L) bool (None: all) to (N, D)."""
        mask = None if keep is None else keep[:, None, None, :]
        x = F.embedding(ids, self.words) + self.positions[: ids.shape[1]] + self.segments[0]
        x = self.norm(x)
        for block in self.blocks:
            x = block(x, mask)
        features: Tensor = x[:, 0] @ self.projection
        return features


class VisionTower(nn.Module):
    """ViT; the feature is the normalised class token times a projection."""

    def __init__(self, layout: VisionLayout, layers: int, dimension: int) -> None:
        super().__init__()
        width, patch = layout.width, layout.patch
        tokens = (layout.resolution // patch) ** 2 + 1
        self.patches = nn.Conv2d(3, width, patch, stride=patch, bias=False, device="meta")
        self.class_token = weight(width)
        self.positions = weight(tokens, width)
        self.norm_in = nn.LayerNorm(width, VISION_EPSILON, device="meta")
        self.blocks = nn.ModuleList(
            PreNormBlock(width, layout.heads, 4 * width, VISION_EPSILON) for _ in range(layers)
        )
        self.norm_out = nn.LayerNorm(width, VISION_EPSILON, device="meta")
        self.projection = weight(width, dimension)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (N, 3, R, R) to features (N, D)."""
        x = self.patches(pixels).flatten(2).transpose(1, 2)
        first = self.class_token.expand(len(x), 1, -1)
        x = self.norm_in(torch.cat([first, x], dim=1) + self.positions)
        for block in self.blocks:
            x = block(x)
        features: Tensor = self.norm_out(x[:, 0]) @ self.projection
        return features


class Attention(nn.Module):
    """Multi-head self-attention with one matrix product for queries, keys and values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, device="meta")
        self.out = nn.Linear(width, width, device="meta")

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """States (N, L, width) to the same; `mask` (N, 1, 1, L) bool, True where a key counts."""
        n, length, width = x.shape
        split = self.qkv(x).view(n, length, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        states: Tensor = self.out(y.transpose(1, 2).reshape(n, length, width))
        return states


class Block(nn.Module):
    """The parts that both kinds of block have."""

    def __init__(self, width: int, heads: int, hidden: int, epsilon: float) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.norm1 = nn.LayerNorm(width, epsilon, device="meta")
        self.up = nn.Linear(width, hidden, device="meta")
        self.down = nn.Linear(hidden, width, device="meta")
        self.norm2 = nn.LayerNorm(width, epsilon, device="meta")

    def feed_forward(self, x: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
        """Two linear layers with an activation between, on each state alone."""
        states: Tensor = self.down(activation(self.up(x)))
        return states


class PostNormBlock(Block):
    """BERT's block: norm after each sum, exact GELU."""

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """States (N, L, width) to the same."""
        x = self.norm1(x + self.attention(x, mask))
        states: Tensor = self.norm2(x + self.feed_forward(x, F.gelu))
        return states


class PreNormBlock(Block):
    """CLIP's block: norm before each part, quick GELU."""

    def forward(self, x: Tensor) -> Tensor:
        """States (N, L, width) to the same."""
        x = x + self.attention(self.norm1(x))
        return x + self.feed_forward(self.norm2(x), quick_gelu)


def quick_gelu(x: Tensor) -> Tensor:
    """CLIP's approximation of GELU: x * sigmoid(1.702 x)."""
    return x * torch.sigmoid(1.702 * x)


def weight(*shape: int) -> nn.Parameter:
    """A parameter of that shape, still without memory."""
    return nn.Parameter(torch.empty(*shape, device="meta"))
