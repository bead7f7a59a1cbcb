"""A profile counts what the catalog takes, decodes evenly chosen pictures, and prices a model."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from flows.command.in_chinese import in_chinese
from tasks.context import Context
from tasks.dataset.catalog import Catalog
from tasks.dataset.readers import READERS, open_reader
from tasks.downloaded.stage import download_pictures
from tasks.errors import DatasetError, ModelError
from tasks.inspect import cost, pictures
from tasks.inspect.cost import fits_free_cluster
from tasks.inspect.dataset import DatasetProfile, inspect_dataset
from tasks.report.inspection import profile_tables, table_tables
from tasks.settings import load_settings
from tasks.work.folder import Folder
from tests.dataset.muge_files import picture_line, query_line, write_lines
from tests.dataset.rows import RowsReader, row
from tests.download import addresses
from tests.download.addresses import write_addresses
from tests.servers.pictures import picture_server


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is timed only just."""
    monkeypatch.setattr(cost, "TIMED_SECONDS", 0.01)


def encoded(width: int, height: int, form: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (width % 256, height % 256, 9)).save(out, form)
    return out.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures of two formats, three of them unreadable; queries with every fault."""
    images = [encoded(20 + n, 30, "PNG" if n % 4 else "JPEG") for n in range(9)]
    images += [b"no picture", encoded(50, 50, "JPEG")[:200], encoded(400, 400, "PNG")]
    lines = [picture_line(n, image) for n, image in enumerate(images)]
    queries = [query_line(n, "红色连衣裙" * (n + 1), [n, n + 1]) for n in range(8)]
    queries += [query_line(20, "没有图", [99, 98]), query_line(21, "没有图", None), b"{"]
    return write_lines(tmp_path, [*lines, lines[0], b"no tab"], [*queries, queries[0]])


def profile_of(folder: Path, model: Path, sample: int = 0, **given: Any) -> DatasetProfile:
    settings = load_settings(model=str(model), **given)
    return inspect_dataset(Context(), f"muge:{folder}", settings, sample)


@pytest.mark.parametrize("text", ["id,title,image\n", "id,title\n1,红\n"])
def test_a_table_without_a_usable_picture_says_so(tmp_path: Path, text: str, model: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    settings = load_settings(model=str(model))
    profile = inspect_dataset(Context(), f"csv:{tmp_path / 'a.csv'}", settings, estimate=False)
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(profile_tables(profile))
    assert profile.table is not None
    console.print(table_tables(profile.table))
    said = console.export_text()
    assert "it has no usable picture, so that `muge index` would refuse it" in said
    assert ("no column was found: ?image=COLUMN" in said) == ("image" not in text)


def test_tables_are_in_chinese_too(folder: Path, tmp_path: Path, model: Path) -> None:
    """All but names: what stands in the data, models, formats, codes of rejects."""
    (tmp_path / "a.csv").write_text("id,title,image,price,note\n1,红,,9.9,x\n")
    settings = load_settings(model=str(model), fields="price")
    table = inspect_dataset(Context(), f"csv:{tmp_path / 'a.csv'}", settings, estimate=False).table
    assert table is not None
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(profile_tables(profile_of(folder, model), "zh", in_chinese))
    console.print(table_tables(table, "zh", in_chinese))
    said = console.export_text()
    for words in ("查询长度  ", "没有查询的图片  ", "在本机索引用时  ", "图片取自  ", "其他列  "):
        assert words in said
    english = {"of", "the", "rows", "images", "on", "from", "about", "and", "row", "picture"}
    assert not english.intersection(said.split()), said


def test_everything_is_counted(folder: Path, model: Path) -> None:
    found = profile_of(folder, model, max_image_pixels=100_000)
    assert (found.rows, found.images, found.queries, found.pairs) == (14 + 22, 12, 8, 16)
    assert (found.duplicates, found.missing_images) == (3, 2)
    assert (found.images_without_queries, found.queries_without_images) == (3, 2)
    assert found.rejects == {"missing_image": 2, "no_tab": 1, "bad_json": 1}
    assert found.examples[0].startswith("MR_valid_imgs.tsv:14: the line has no tab")
    assert found.query_characters == {"mean": 22.5, "p50": 20.0, "p99": 40.0, "max": 40.0}
    seen = found.pictures
    assert seen.unreadable == {"not_an_image": 1, "truncated": 1, "too_large": 1}
    assert (seen.checked, seen.formats) == (12, {"PNG": 6, "JPEG": 3})
    assert seen.sizes["20x30"] == 1
    assert seen.sizes["other"] == 1
    assert any("MR_valid_imgs.tsv:10: image 9" in example for example in seen.examples)


def test_placeholders_and_squashed_pictures_are_named(tmp_path: Path, model: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (40, 30, 3), np.uint8)
    pictures = [
        Image.new("RGB", (40, 30), "white"),
        Image.fromarray(noise),
        Image.fromarray(noise).resize((300, 20)),
        Image.new("RGB", (40, 31), "white"),
    ]
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / f"{number}.jpg", quality=95)
    settings = load_settings(model=str(model))
    found = inspect_dataset(Context(), f"folder:{tmp_path}", settings, 0, estimate=False)
    assert found.pictures.odd == {"flat": 2, "squashed": 1}
    assert [line.split(": ")[0] for line in found.pictures.examples] == ["0.jpg", "2.jpg"]


def test_the_cost_of_a_model(folder: Path, model: Path) -> None:
    price = profile_of(folder, model).estimate
    assert price is not None
    assert (price.dimension, price.documents, price.device) == (64, 12, "cpu")
    assert price.images_per_second > 0
    assert price.texts_per_second > 0
    assert price.store_bytes > 12 * 64 * 4
    assert price.fits_free_cluster
    pairs = profile_of(folder, model, document="pair", picture="none").estimate
    assert pairs is not None
    assert pairs.documents == 16
    assert pairs.store_bytes / 16 < price.store_bytes / 12


@pytest.mark.parametrize(
    ("documents", "dimension", "fits"),
    [(150_000, 1024, True), (150_001, 64, False), (1, 1025, False)],
)
def test_a_free_cluster(documents: int, dimension: int, fits: bool) -> None:
    assert fits_free_cluster(documents, dimension) == fits


@pytest.mark.parametrize(
    ("images", "sample"), [(1000, 500), (1000, 30), (101, 100), (60, 0), (9, 500)]
)
def test_samples_are_even_and_exact(images: int, sample: int) -> None:
    with Catalog(1000) as catalog:
        rows = [row(n, n, b"%d" % n) for n in range(images)]
        assert list(catalog.fill(RowsReader(rows, 100), lambda _: None)) == []
        runs = list(pictures.sampled(catalog, images, sample))
    ids = [int(entry.image_id) for run in runs for entry in run]
    assert len(ids) == len(set(ids)) == (min(sample, images) if sample else images)
    assert ids == sorted(ids)
    if sample and images > sample:
        largest_gap = max(b - a for a, b in zip([-1, *ids], [*ids, images], strict=False))
        assert largest_gap <= images / len(runs) + 1


def test_what_is_not_there_is_said(folder: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError):
        inspect_dataset(Context(), f"muge:{tmp_path}/none", load_settings(model=str(model)))
    with pytest.raises(ModelError):
        profile_of(folder, tmp_path / "none")


def test_a_data_set_without_pictures_has_a_profile(model: Path, tmp_path: Path) -> None:
    folder = write_lines(tmp_path, [b"nothing"], [b"nothing"])
    found = profile_of(folder, model)
    assert (found.images, found.estimate, found.pictures.checked) == (0, None, 0)
    assert found.rejects == {"no_tab": 1, "bad_json": 1}
    assert "no_tab 1" in printed(found)


def test_a_terminal_shows_it_without_foreign_sequences(model: Path, tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07[bold]"
    folder = write_lines(tmp_path, [evil.encode()], [query_line(1, "猫", [evil])])
    shown = printed(profile_of(folder, model))
    assert "\x1b" not in shown
    assert "[bold]" in shown


def printed(profile: DatasetProfile) -> str:
    console = Console(width=80, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(profile_tables(profile))
    return capture.get()


def test_pictures_at_addresses_are_counted_and_some_of_them_asked(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(READERS, "addresses", addresses.KIND)
    options = {"work_dir": str(tmp_path / "work"), "download_private": True}
    settings = load_settings(model=str(model), **options)  # type: ignore[arg-type]
    with picture_server() as server:
        paths = [*(f"good/{number}.png" for number in range(8)), "good/0.png", "status/404"]
        dataset = write_addresses(tmp_path / "a", [f"{server.url}/{path}" for path in paths])
        found = inspect_dataset(Context(), dataset, settings, 0)
        assert (found.rows, found.images, found.not_downloaded) == (10, 10, 10)
        assert found.pictures.unreadable == {"download_404": 1}
        assert (found.pictures.checked, found.pictures.formats) == (10, {"PNG": 9})
        assert "status 404" in found.pictures.examples[0]
        assert found.estimate is not None
        assert not (tmp_path / "work").exists()
        reader, work = open_reader(dataset), Folder(settings.work_url)
        quiet = (lambda _: None, lambda _: None)
        download_pictures(reader, work, settings, "missing", *quiet)
        asked = dict(server.asked)
        again = inspect_dataset(Context(), dataset, settings, 0)
        assert (again.images, again.not_downloaded) == (9, 0)
        assert again.rejects == {"download_404": 1}
        assert server.asked == asked
