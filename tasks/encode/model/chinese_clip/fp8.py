"""Linear layers whose products are of 8-bit floating point numbers, scaled row by row.

Weights are rounded once, a scale for each output; states are rounded as they come, a scale for
each. Sums are kept in float32 by the hardware. Source: FP8 Formats for Deep Learning (Micikevicius
et al. 2022), e4m3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_TYPE = torch.float8_e4m3fn
_LARGEST = torch.finfo(_TYPE).max
_SMALLEST_SCALE = 1e-12


class Fp8Linear(nn.Module):
    """A linear layer in bf16, remade; in and out are bf16 as before."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight, scale = _rounded(linear.weight)
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale.t().contiguous())
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """States (..., in) bf16 to (..., out) bf16."""
        states, scale = _rounded(x.flatten(0, -2))
        y: Tensor = torch._scaled_mm(
            states,
            self.get_buffer("weight").t(),
            scale_a=scale,
            scale_b=self.get_buffer("scale"),
            out_dtype=torch.bfloat16,
        )
        states = (y + self.bias).view(*x.shape[:-1], -1)
        return states


def _rounded(rows: Tensor) -> tuple[Tensor, Tensor]:
    """(N, K) to 8 bits, and the scales (N, 1) float32 that give them back."""
    scale = rows.float().abs().amax(dim=1, keepdim=True).clamp(min=_SMALLEST_SCALE) / _LARGEST
    return (rows.float() / scale).to(_TYPE), scale


def use_fp8(model: nn.Module) -> None:
    """Replace every linear layer of a model whose sides the hardware takes (multiples of 16)."""
    for name, part in model.named_children():
        if isinstance(part, nn.Linear):
            if part.in_features % 16 == 0 and part.out_features % 16 == 0:
                setattr(model, name, Fp8Linear(part))
        else:
            use_fp8(part)
