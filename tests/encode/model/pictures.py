"""Pictures of every kind, as file bytes."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from tasks.encode.model.pixels import Square, decode_picture, squash
from tasks.records import Uint8

LIMIT = 10_000_000


def painted(width: int = 97, height: int = 61) -> Image.Image:
    """A picture with edges, gradients and see-through parts."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    channels = (x, y, 255 - x, np.clip(2 * y - 100, 0, 255))
    image = Image.fromarray(np.stack(channels, axis=2).astype(np.uint8), "RGBA")
    draw = ImageDraw.Draw(image)
    draw.ellipse((width // 5, 3, width // 2, height - 4), fill=(250, 20, 60, 255))
    draw.rectangle((width // 2, height // 3, width - 2, height // 2), fill=(0, 90, 200, 120))
    return image


def decode_image(data: bytes, resolution: int, max_pixels: int, square: Square = squash) -> Uint8:
    """The (resolution, resolution, 3) uint8 RGB pixels that a model sees."""
    return decode_picture(data, resolution, max_pixels, square=square).pixels


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def palette(transparency: int | bytes | None = None) -> bytes:
    image = painted().convert("RGB").quantize(64)
    return saved(image, "PNG", **({} if transparency is None else {"transparency": transparency}))


def animated(kind: str) -> bytes:
    frames = [painted(), painted().rotate(180), painted().convert("L").convert("RGBA")]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)


def grey16() -> Image.Image:
    return Image.fromarray(np.arange(97 * 61, dtype=np.uint16).reshape(61, 97) * 11)


def oriented(orientation: int, size: tuple[int, int] = (97, 61)) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(painted(*size).convert("RGB"), "JPEG", exif=exif, quality=95)


PICTURES: dict[str, Callable[[], bytes]] = {
    "rgb jpeg": lambda: saved(painted().convert("RGB"), "JPEG"),
    "progressive jpeg": lambda: saved(painted().convert("RGB"), "JPEG", progressive=True),
    "4:4:4 jpeg": lambda: saved(painted().convert("RGB"), "JPEG", subsampling=0),
    "grey jpeg": lambda: saved(painted().convert("L"), "JPEG"),
    "cmyk jpeg": lambda: saved(painted().convert("CMYK"), "JPEG"),
    "rotated jpeg": lambda: oriented(6),
    "rgb png": lambda: saved(painted().convert("RGB"), "PNG"),
    "rgb png, one colour transparent": lambda: saved(
        painted().convert("RGB"), "PNG", transparency=(250, 20, 60)
    ),
    "rgba png": lambda: saved(painted(), "PNG"),
    "l png": lambda: saved(painted().convert("L"), "PNG"),
    "l png, one grey transparent": lambda: saved(painted().convert("L"), "PNG", transparency=80),
    "la png": lambda: saved(painted().convert("LA"), "PNG"),
    "one-bit png": lambda: saved(painted().convert("1"), "PNG"),
    "p png": palette,
    "p png, one colour transparent": lambda: palette(3),
    "p png, alphas": lambda: palette(bytes(range(0, 256, 4))),
    "16-bit png": lambda: saved(grey16(), "PNG"),
    "rgb webp": lambda: saved(painted().convert("RGB"), "WEBP"),
    "rgba webp": lambda: saved(painted(), "WEBP", lossless=True),
    "animated webp": lambda: animated("WEBP"),
    "gif": lambda: saved(painted().convert("RGB"), "GIF"),
    "animated gif": lambda: animated("GIF"),
    "animated png": lambda: animated("PNG"),
    "bmp": lambda: saved(painted().convert("RGB"), "BMP"),
    "tiff": lambda: saved(painted(), "TIFF", compression="tiff_lzw"),
    "16-bit tiff": lambda: saved(grey16(), "TIFF"),
    "float tiff": lambda: saved(painted().convert("F"), "TIFF"),
    "cmyk tiff": lambda: saved(painted().convert("CMYK"), "TIFF"),
    "ppm": lambda: saved(painted().convert("RGB"), "PPM"),
    "1 x 1": lambda: saved(painted().convert("RGB").resize((1, 1)), "PNG"),
    "1 x 1 rgba": lambda: saved(painted().resize((1, 1)), "PNG"),
    "9 x 3000": lambda: saved(painted(9, 3000), "PNG"),
    "224 x 224 rgb": lambda: saved(painted(224, 224).convert("RGB"), "JPEG"),
    "224 x 224 rgba": lambda: saved(painted(224, 224), "PNG"),
    "224 x 224 p": lambda: saved(painted(224, 224).convert("P"), "PNG", transparency=b"\0\x80"),
}
