"""The original of a picture that a data set holds in its rows, as the page shows it large."""

from __future__ import annotations

import io
from pathlib import Path

import httpx
from PIL import Image

from tests.dataset.muge_files import write_muge
from tests.deployments.collection import index_dataset, settings_in
from tests.deployments.conftest import Serve

SIDE = 700


def drawn(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE // 2), (40 * number, 90, 160)).save(buffer, "JPEG")
    return buffer.getvalue()


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
