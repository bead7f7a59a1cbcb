"""Emoji drawings of several artists, rendered to RGBA arrays."""

import io
import json
import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import resvg_py
from PIL import Image, ImageDraw, ImageFont

from tasks.sample.recipe.packages import package_folder

Pixels = npt.NDArray[np.uint8]
THINGS_BEGIN = "thing-"  # the code of a concept that no emoji is, in the place of code points


@dataclass(frozen=True)
class Artist:
    """One set of drawings: where it is, and what it may be used for.

    :ivar suffix: how the names of a set's icons in this style end ("-fill"), where it has several
    """

    name: str
    package: str
    licence: str
    trained: bool
    shipped: bool
    suffix: str = ""


# twemoji is kept out of every training, so that figures on it are honest; openmoji (share-alike)
# is only looked at while recipes are compared.
ARTISTS = (
    Artist("noto", "@iconify-json/noto", "Apache-2.0", trained=True, shipped=True),
    Artist("noto-v1", "@iconify-json/noto-v1", "Apache-2.0", trained=True, shipped=False),
    Artist("fluent", "@iconify-json/fluent-emoji", "MIT", trained=True, shipped=False),
    Artist("fluent-flat", "@iconify-json/fluent-emoji-flat", "MIT", trained=True, shipped=True),
    Artist("fluent-3d", "@lobehub/fluent-emoji-3d", "MIT", trained=True, shipped=True),
    Artist(
        "fluent-line",
        "@iconify-json/fluent-emoji-high-contrast",
        "MIT",
        trained=True,
        shipped=False,
    ),
    Artist("emojitwo", "@iconify-json/emojione", "CC-BY-4.0", trained=True, shipped=True),
    Artist(
        "emojitwo-line",
        "@iconify-json/emojione-monotone",
        "CC-BY-4.0",
        trained=True,
        shipped=False,
    ),
    Artist(
        "streamline", "@iconify-json/streamline-emojis", "CC-BY-4.0", trained=True, shipped=False
    ),
    Artist("twemoji", "@iconify-json/twemoji", "CC-BY-4.0", trained=False, shipped=True),
    Artist("openmoji", "@iconify-json/openmoji", "CC-BY-SA-4.0", trained=False, shipped=False),
)


def _icons(name: str, licence: str, suffix: str = "") -> Artist:
    """A set of icons, which draws some of the concepts in a style of its own."""
    return Artist(name + suffix, f"@iconify-json/{name}", licence, True, False, suffix)


# Sets of icons: what they draw is found by the English name. More hands to learn a thing from.
ICONS = (
    _icons("game-icons", "CC-BY-3.0"),
    _icons("icon-park", "Apache-2.0"),
    _icons("ph", "MIT", "-fill"),
    _icons("ph", "MIT", "-duotone"),
    _icons("mdi", "Apache-2.0"),
    _icons("flat-color-icons", "MIT"),
    _icons("fa7-solid", "CC-BY-4.0"),
    _icons("solar", "CC-BY-4.0", "-bold-duotone"),
    _icons("mingcute", "Apache-2.0", "-fill"),
    _icons("tabler", "MIT"),
    _icons("healthicons", "MIT"),
    _icons("material-symbols", "Apache-2.0"),
    _icons("streamline-cyber-color", "CC-BY-4.0"),
    _icons("streamline-kameleon-color", "CC-BY-4.0"),
    _icons("streamline-plump-color", "CC-BY-4.0"),
    _icons("streamline-sharp-color", "CC-BY-4.0"),
    _icons("streamline-ultimate-color", "CC-BY-4.0"),
    _icons("streamline-flex-color", "CC-BY-4.0"),
    _icons("streamline-stickies-color", "CC-BY-4.0"),
)


# A font draws in lines what no other set does: every emoji of one code point.
FONTS = (Artist("noto-line", "@fontsource/noto-emoji", "OFL-1.1", trained=True, shipped=False),)
_FONT_FILE = "noto-emoji-emoji-400-normal.woff2"
_INK = "#222"


@dataclass(frozen=True)
class Glyph:
    """A character as a font draws it."""

    font: Path
    character: str


Drawing = str | Path | Glyph
"""SVG text, the path of a raster picture, or a glyph."""


def code_points(emoji: str) -> str:
    """Name an emoji by its code points, without the variation selector: "🐼" -> "1f43c"."""
    return "-".join(f"{ord(c):x}" for c in emoji if ord(c) != 0xFE0F)


def plain_code_points(code: str) -> str:
    """Lower-case code points without the variation selector: "0023-FE0F-20E3" -> "0023-20e3"."""
    return "-".join(part for part in code.lower().split("-") if part != "fe0f")


def drawings(artist: Artist, packages: Path, english: dict[str, str]) -> dict[str, Drawing]:
    """Find an artist's drawing of every concept it has.

    :param english: English name of every concept, by code points; drawings of sets without a
        table of code points are found by it.
    :return: drawings by code points.
    """
    folder = package_folder(packages, artist.package)
    if artist not in ICONS:
        english = {c: label for c, label in english.items() if not c.startswith(THINGS_BEGIN)}
    if artist in FONTS:
        return dict(_glyphs(folder / "files" / _FONT_FILE, english))
    if artist.package == "@lobehub/fluent-emoji-3d":
        found = {plain_code_points(p.stem): p for p in sorted((folder / "assets").glob("*.webp"))}
        return {code: path for code, path in found.items() if code in english}
    icons = json.loads((folder / "icons.json").read_text("utf-8"))
    if artist in ICONS:
        names = _icons_by_name(icons, artist.suffix, _icon_labels(packages, english))
    else:
        names = _icon_names(folder, icons, packages, english)
    return {code: _svg(icons, name) for code, name in names.items()}


def _glyphs(font: Path, english: dict[str, str]) -> Iterator[tuple[str, Glyph]]:
    """What a font draws of the concepts that are one character."""
    drawn = ImageFont.truetype(font, 64)
    missing = bytes(drawn.getmask("\U0010fffe"))
    for code in english:
        if "-" not in code and bytes(drawn.getmask(chr(int(code, 16)))) != missing:
            yield code, Glyph(font, chr(int(code, 16)))


def _icon_names(
    folder: Path, icons: dict[str, Any], packages: Path, english: dict[str, str]
) -> dict[str, str]:
    """Which icon of a set draws which concept: icon name by code points."""
    aliases = icons.get("aliases", {})
    table = folder / "chars.json"
    names: dict[str, str] = {}
    if table.exists():
        for code, name in json.loads(table.read_text("utf-8")).items():
            if plain_code_points(code) in english:
                names.setdefault(plain_code_points(code), name)
    by_name = _codes_by_name(packages, english)
    for name in [*icons["icons"], *aliases]:
        if name in by_name:
            names.setdefault(by_name[name], name)
    resolved = {c: aliases[n]["parent"] if n in aliases else n for c, n in names.items()}
    return {code: name for code, name in resolved.items() if name in icons["icons"]}


def _codes_by_name(packages: Path, english: dict[str, str]) -> dict[str, str]:
    """Code points by every icon name that another set, or the English name, gives a concept."""
    codes: dict[str, str] = {}
    for artist in ARTISTS:
        table = package_folder(packages, artist.package) / "chars.json"
        if table.exists():
            for code, name in json.loads(table.read_text("utf-8")).items():
                if plain_code_points(code) in english:
                    codes.setdefault(name, plain_code_points(code))
    for code, label in english.items():
        codes.setdefault(_slug(label), code)
    return codes


def _icons_by_name(
    icons: dict[str, Any], suffix: str, labels: dict[str, list[str]]
) -> dict[str, str]:
    """Which icon of a set draws which concept, by its name alone: icon name by code points."""
    names: dict[str, str] = {}
    for name in icons["icons"]:
        # Streamline numbers its variants: "bicycle-1".
        plain = re.sub(r"-\d+$", "", name.removesuffix(suffix)) if name.endswith(suffix) else ""
        for code in labels.get(plain, []):
            names.setdefault(code, name)
    return names


@cache
def _shortcodes(packages: Path) -> dict[str, list[str]]:
    """What chat programs call an emoji, as slugs by code points."""
    folder = package_folder(packages, "emojibase-data") / "en" / "shortcodes"
    found: dict[str, list[str]] = {}
    for source in ("cldr", "emojibase", "github", "joypixels"):
        for code, names in json.loads((folder / f"{source}.json").read_text("utf-8")).items():
            several = [names] if isinstance(names, str) else names
            found.setdefault(plain_code_points(code), []).extend(map(_slug, several))
    return found


def _icon_labels(packages: Path, english: dict[str, str]) -> dict[str, list[str]]:
    """Concepts by the names that an icon of them may have."""
    labels: dict[str, list[str]] = {}
    for code, label in english.items():
        for name in label.split("|"):
            labels.setdefault(_slug(name), []).append(code)
    taken = set(labels)
    for code, names in _shortcodes(packages).items():
        for name in dict.fromkeys(names):
            # Names of one or two letters ("m", "ok") are those of other icons.
            if code in english and len(name) > 2 and name not in taken:
                labels.setdefault(name, []).append(code)
    return labels


def _slug(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"[’'“”]", "", label.lower())).strip("-")


def _svg(icons: dict[str, Any], name: str) -> str:
    icon = icons["icons"][name]
    width = icon.get("width", icons.get("width", 16))
    height = icon.get("height", icons.get("height", icons.get("width", 16)))
    box = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
    # Line sets draw in the text colour: without one they come out black, which is what we want.
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{box}" width="512" height="512" color="#222">{icon["body"]}</svg>'
    )


def render(drawing: Drawing, size: int) -> Pixels | None:
    """Render one drawing.

    :return: RGBA, uint8 (size, size, 4), straight alpha; None when the drawing cannot be
        rendered or is (nearly) empty.
    """
    if isinstance(drawing, Path):
        picture = Image.open(drawing).convert("RGBA").resize((size, size), Image.Resampling.LANCZOS)
    elif isinstance(drawing, Glyph):
        picture = _written(drawing, size)
    else:
        try:
            data = resvg_py.svg_to_bytes(svg_string=drawing, width=size, height=size)
        except ValueError:
            return None
        picture = Image.open(io.BytesIO(bytes(data))).convert("RGBA")
        picture = picture.resize((size, size), Image.Resampling.LANCZOS)
    pixels = np.asarray(picture)
    return pixels if pixels[..., 3].mean() >= 3 else None


def _written(glyph: Glyph, size: int) -> Image.Image:
    """A glyph in the middle of a square, as large as most sets draw."""
    font = ImageFont.truetype(glyph.font, 2 * size)
    left, top, right, bottom = font.getbbox(glyph.character)
    side = max(right - left, bottom - top)
    picture = Image.new("RGBA", (round(side), round(side)))
    place = ((side - left - right) / 2, (side - top - bottom) / 2)
    ImageDraw.Draw(picture).text(place, glyph.character, font=font, fill=_INK)
    return picture.resize((size, size), Image.Resampling.LANCZOS)


def _render_job(job: tuple[Drawing, int]) -> Pixels | None:
    return render(*job)


def render_all(drawn: list[Drawing], size: int, workers: int = 2) -> Iterator[Pixels | None]:
    """Render many drawings, in order, on several processes."""
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_render_job, ((d, size) for d in drawn), chunksize=32)


@dataclass(frozen=True)
class Gallery:
    """Rendered pictures of all artists.

    pixels: RGBA uint8 (N, size, size, 4), memory-mapped; artists and concepts: N names each.
    """

    pixels: Pixels
    artists: list[str]
    concepts: list[str]

    def of(self, artists: set[str], concepts: set[str]) -> list[int]:
        """Rows drawn by one of these artists, of one of these concepts."""
        pairs = enumerate(zip(self.artists, self.concepts, strict=True))
        return [i for i, (a, c) in pairs if a in artists and c in concepts]


def build_gallery(
    packages: Path,
    english: dict[str, str],
    folder: Path,
    size: int,
    artists: tuple[Artist, ...] = ARTISTS,
) -> Gallery:
    """Render artists' drawings of every concept once; later calls read the stored arrays."""
    index = folder / "gallery.json"
    if not index.exists():
        folder.mkdir(parents=True, exist_ok=True)
        jobs: list[tuple[str, str, Drawing]] = []
        for artist in artists:
            found = drawings(artist, packages, english)
            jobs += [(artist.name, code, found[code]) for code in english if code in found]
        made = render_all([drawing for _, _, drawing in jobs], size)
        kept = [(a, c, p) for (a, c, _), p in zip(jobs, made, strict=True) if p is not None]
        np.save(folder / "gallery.npy", np.stack([p for _, _, p in kept]))
        index.write_text(json.dumps([[a, c] for a, c, _ in kept]), "utf-8")
    rows = json.loads(index.read_text("utf-8"))
    pixels = np.load(folder / "gallery.npy", mmap_mode="r")
    return Gallery(pixels, [r[0] for r in rows], [r[1] for r in rows])
