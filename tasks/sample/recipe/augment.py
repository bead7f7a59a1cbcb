"""Many looks of one drawing: placed, coloured, redrawn as lines, on any background."""

import torch
import torch.nn.functional as F
from torch import Tensor

# CLIP's normalisation, as the product applies it.
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)
_LUMA = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
_TO_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


def premultiplied(pixels: Tensor) -> Tensor:
    """RGBA uint8 (B, S, S, 4), straight alpha -> float (B, 4, S, S) in [0, 1], premultiplied."""
    rgba = pixels.permute(0, 3, 1, 2).float() / 255
    return torch.cat([rgba[:, :3] * rgba[:, 3:], rgba[:, 3:]], dim=1)


def on_white(pixels: Tensor, size: int) -> Tensor:
    """The plain look, as the corpus ships it: on white, squashed by bicubic resize.

    :param pixels: RGBA uint8 (B, S, S, 4)
    :return: RGB float (B, 3, size, size) in [0, 1]
    """
    rgba = premultiplied(pixels)
    rgb = rgba[:, :3] + 1 - rgba[:, 3:]
    if rgb.shape[-1] != size:
        rgb = F.interpolate(rgb, size=(size, size), mode="bicubic", antialias=True)
    return rgb.clamp(0, 1)


def normalised(rgb: Tensor) -> Tensor:
    """RGB in [0, 1] -> what CLIP's image tower reads."""
    return (rgb - MEAN) / STD


def varied(drawings: Tensor, size: int, mirrored: Tensor, chance: torch.Generator) -> Tensor:
    """A random look of each drawing.

    :param drawings: premultiplied RGBA, uint8 (B, 4, S, S)
    :param mirrored: bool (B,), whether a drawing may be mirrored (not where its name says a side)
    :return: RGB float (B, 3, size, size) in [0, 1]
    """
    rgba = _placed(drawings.float() / 255, size, mirrored, chance)
    rgb, alpha = rgba[:, :3], rgba[:, 3:]
    rgb = _flattened(_coloured(rgb, alpha, chance), chance)
    rgb = _outlined(rgb, alpha, chance)
    rgb = (rgb + (1 - alpha) * _background(len(rgb), size, chance)).clamp(0, 1)
    rgb = _line_drawn(rgb, chance)
    rgb = _softened(rgb, chance)
    return _covered(rgb, chance).clamp(0, 1)


def _some(count: int, share: float, chance: torch.Generator) -> Tensor:
    """Choose a share of the batch: bool (count, 1, 1, 1)."""
    return (torch.rand(count, generator=chance) < share).view(-1, 1, 1, 1)


def _rows(count: int, share: float, chance: torch.Generator) -> Tensor:
    """Choose a share of the batch: the rows' numbers."""
    return torch.nonzero(torch.rand(count, generator=chance) < share)[:, 0]


def _between(shape: tuple[int, ...], low: float, high: float, chance: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=chance)


def _placed(rgba: Tensor, size: int, mirrored: Tensor, chance: torch.Generator) -> Tensor:
    """Rotate, scale, stretch, shear, shift and mirror."""
    count = len(rgba)
    angle = _between((count,), -0.35, 0.35, chance) * (torch.rand(count, generator=chance) < 0.7)
    zoom = 1 / _between((count,), 0.62, 1.18, chance)
    stretch = _between((count,), 0.85, 1.15, chance)
    shear = _between((count,), -0.12, 0.12, chance)
    shift = _between((count, 2), -0.14, 0.14, chance)
    side = torch.where((torch.rand(count, generator=chance) < 0.5) & mirrored, -1.0, 1.0)
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    rows = [
        torch.stack([cos * side * stretch, shear - sin, shift[:, 0]], 1),
        torch.stack([sin * side, cos / stretch, shift[:, 1]], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), [count, 4, size, size], align_corners=False)
    return F.grid_sample(rgba, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _coloured(rgb: Tensor, alpha: Tensor, chance: torch.Generator) -> Tensor:
    """Change brightness, saturation, hue and tint of premultiplied RGB; some grey or inverted."""
    count = len(rgb)
    grey = (rgb * _LUMA).sum(1, keepdim=True)
    saturation = _between((count, 1, 1, 1), 0.4, 1.6, chance)
    saturation = torch.where(_some(count, 0.1, chance), 0.0, saturation)
    rgb = grey + (rgb - grey) * saturation
    turn = torch.where(_some(count, 0.25, chance), 1.0, 0.12) * _between(
        (count, 1, 1, 1), -1.6, 1.6, chance
    )
    rgb = _hue_turned(rgb, turn.view(-1))
    brightness = _between((count, 1, 1, 1), 0.7, 1.3, chance)
    tint = _between((count, 3, 1, 1), 0.85, 1.15, chance)
    rgb = rgb * brightness * tint
    return torch.where(_some(count, 0.03, chance), alpha - rgb, rgb).clamp(0, 1)


def _flattened(rgb: Tensor, chance: torch.Generator) -> Tensor:
    """Leave of some only a few shades of each colour, as artists do who draw flat areas."""
    some = _rows(len(rgb), 0.2, chance)
    shades = torch.randint(2, 6, (len(some), 1, 1, 1), generator=chance)
    rgb[some] = (rgb[some] * shades).round() / shades
    return rgb


def _hue_turned(rgb: Tensor, angle: Tensor) -> Tensor:
    """Turn hues by an angle (B,) in radians: a rotation of I and Q in YIQ."""
    cos, sin, none = angle.cos(), angle.sin(), torch.zeros_like(angle)
    turn = torch.stack(
        [
            torch.stack([none + 1, none, none], 1),
            torch.stack([none, cos, -sin], 1),
            torch.stack([none, sin, cos], 1),
        ],
        1,
    )
    matrix = torch.linalg.inv(_TO_YIQ) @ turn @ _TO_YIQ
    return torch.einsum("bij,bjhw->bihw", matrix, rgb)


def _edges(values: Tensor) -> Tensor:
    """Strength of edges of (B, 1, H, W), same shape."""
    wide = F.max_pool2d(values, 3, stride=1, padding=1)
    return wide + F.max_pool2d(-values, 3, stride=1, padding=1)


def _outlined(rgb: Tensor, alpha: Tensor, chance: torch.Generator) -> Tensor:
    """Draw dark outlines around shapes and colour areas of some, as line artists do."""
    some = _rows(len(rgb), 0.15, chance)
    shape = alpha[some]
    line = _edges((rgb[some] * _LUMA).sum(1, keepdim=True)) * 2.5 + _edges(shape)
    rgb[some] *= 1 - line.clamp(0, 1) * shape
    return rgb


def _line_drawn(rgb: Tensor, chance: torch.Generator) -> Tensor:
    """Leave of some nothing but dark lines on a light ground."""
    some = _rows(len(rgb), 0.06, chance)
    line = (_edges((rgb[some] * _LUMA).sum(1, keepdim=True)) * 3).clamp(0, 1)
    rgb[some] = (1 - line).expand(-1, 3, -1, -1)
    return rgb


def _background(count: int, size: int, chance: torch.Generator) -> Tensor:
    """White for most; light, any or graded colours for others: (count, 3, size, size)."""
    kind = torch.rand((count, 1, 1, 1), generator=chance)
    light = _between((count, 3, 1, 1), 0.7, 1.0, chance)
    other = torch.rand((count, 3, 1, 1), generator=chance)
    plain = torch.where(kind < 0.55, 1.0, torch.where(kind < 0.8, light, other))
    slope = torch.linspace(0, 1, size).view(1, 1, size, 1)
    graded = light * slope + other * (1 - slope)
    return torch.where(kind > 0.93, graded, plain.expand(-1, -1, size, size))


def _softened(rgb: Tensor, chance: torch.Generator) -> Tensor:
    """Blur some, change contrast, and add noise to some."""
    some = _rows(len(rgb), 0.15, chance)
    rgb[some] = F.avg_pool2d(F.pad(rgb[some], (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    contrast = _between((len(rgb), 1, 1, 1), 0.8, 1.2, chance)
    rgb = (rgb - 0.5) * contrast + 0.5
    some = _rows(len(rgb), 0.1, chance)
    rgb[some] += torch.randn(rgb[some].shape, generator=chance) * 0.04
    return rgb


def _covered(rgb: Tensor, chance: torch.Generator) -> Tensor:
    """Cover a rectangle of some with one colour."""
    count, _, size, _ = rgb.shape
    along = torch.arange(size).view(1, 1, 1, size)
    left, top = (_between((count, 1, 1, 1), 0, size * 0.8, chance) for _ in range(2))
    wide, high = (_between((count, 1, 1, 1), size / 8, size / 3, chance) for _ in range(2))
    inside = (along >= left) & (along < left + wide)
    inside = inside & (along.transpose(2, 3) >= top) & (along.transpose(2, 3) < top + high)
    colour = torch.rand((count, 3, 1, 1), generator=chance)
    return torch.where(inside & _some(count, 0.2, chance), colour, rgb)
