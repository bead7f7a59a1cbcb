"""The original of a picture that a data set holds in its rows, as the page shows it large."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

import httpx
import pytest
from PIL import Image

from tests.dataset.muge_files import write_muge
from tests.deployments.collection import index_dataset, settings_in
from tests.deployments.conftest import Serve

SIDE = 700


def drawn(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE // 2), (40 * number, 90, 160)).save(buffer, "JPEG")
    return buffer.getvalue()


def in_folder(place: Path) -> str:
    lines = [
        {"query_id": n, "query": f"商品 {n}", "image_id": n, "image": f"{n}.jpg"} for n in (0, 3)
    ]
    (place / "queries.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return f"folder:{place}"


def beside_table(place: Path) -> str:
    (place / "shop.csv").write_text("id,text,image\n0,商品 0,0.jpg\n3,商品 3,3.jpg\n")
    return f"csv:{place / 'shop.csv'}"


@pytest.mark.parametrize("document", ["image", "pair"])
@pytest.mark.parametrize("named", [in_folder, beside_table])
def test_a_file_that_is_another_now_is_not_shown(
    tmp_path: Path, serve_here: Serve, named: Callable[[Path], str], document: str
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for number in (0, 3):
        (data / f"{number}.jpg").write_bytes(drawn(number))
    index_dataset(named(data), settings_in(tmp_path, document=document))
    address = serve_here(tmp_path)
    found = httpx.get(f"{address}/api/search?text=商品&topk=9", timeout=30).json()["hits"]
    (hit,) = (hit for hit in found if hit["fields"]["image_id"] == 3)

    def shown() -> tuple[int, int]:
        answer = httpx.get(f"{address}/api/documents/{hit['id']}/original", timeout=30)
        with Image.open(io.BytesIO(answer.content)) as picture:
            return picture.width, cast("tuple[int, int, int]", picture.getpixel((9, 9)))[0]

    width, red = shown()
    assert width == SIDE
    (data / "3.jpg").write_bytes(drawn(0))
    small, same = shown()
    assert small == 160  # what the document carries
    assert same == pytest.approx(red, abs=5)


def test_it_is_drawn_from_its_row(tmp_path: Path, serve_here: Serve) -> None:
    data = tmp_path / "data"
    write_muge(data, {n: drawn(n) for n in range(5)}, {n: (f"商品 {n}", [n]) for n in range(5)})
    index_dataset(f"muge:{data}", settings_in(tmp_path))
    address = serve_here(tmp_path)

    def size() -> tuple[int, int]:
        answer = httpx.get(f"{address}/api/documents/3/original", timeout=30)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        with Image.open(io.BytesIO(answer.content)) as picture:
            return picture.size

    assert size() == (SIDE, SIDE // 2)
    (data / "MR_valid_imgs.tsv").unlink()
    assert max(size()) == 160  # what the document carries
