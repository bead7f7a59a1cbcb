"""What the encode stages write, whatever was known before and in whatever batches it was made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from tasks.dataset.catalog import CatalogEntry
from tasks.encode.stage.embeddings import EmbeddingWriter, embedding_schema, read_embeddings
from tasks.encode.stage.known import KnownImage
from tasks.records import Float32, ModelInfo
from tasks.work.folder import Folder
from tasks.work.parquet import writing_parquet
from tasks.work.rejects import payload_hash
from tests.encode.model.models import TinyModel
from tests.encode.model.pictures import decode_image
from tests.encode.stage.parts import (
    Pictures,
    encode,
    encode_texts,
    files,
    load,
    make_pictures,
    patient,
)

Tiny = Callable[[str], TinyModel]


@pytest.fixture(scope="module")
def model(tiny: Tiny) -> Path:
    return tiny("resnet-50").folder


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return make_pictures(30, bad=(5,))


def rows(folder: Path, part: str = "images/part-00000-of-00001.parquet") -> dict[str, Float32]:
    found: dict[str, Float32] = {}
    for ids, _, vectors in read_embeddings(Folder(str(folder)), part):
        found |= dict(zip(ids, vectors, strict=True))
    return found


def thumbnails(folder: Path) -> dict[str, bytes]:
    table = pq.read_table(folder / "pictures" / "part-00000-of-00001.parquet")
    return dict(zip(table.column(0).to_pylist(), table.column(1).to_pylist(), strict=True))


def test_vectors_are_those_of_the_encoder(model: Path, pictures: Pictures, tmp_path: Path) -> None:
    encode(tmp_path, model, pictures)
    encoder = load(model)
    good = [n for n in range(30) if n != 5]
    pixels = [decode_image(pictures.data[n], encoder.info.resolution, 10**6) for n in good]
    found = rows(tmp_path)
    assert list(found) == [str(n) for n in good]
    right = encoder.encode_images(np.stack(pixels))
    np.testing.assert_allclose(np.stack(list(found.values())), right, rtol=0, atol=1e-6)


def test_bytes_do_not_depend_on_how_rows_come(tmp_path: Path) -> None:
    """Row groups are of 1024 rows, and pages end where they would anyway."""
    count = 2500
    vectors = np.random.default_rng(0).normal(size=(count, 256)).astype(np.float32)
    names = [str(number) for number in range(count)]
    info = ModelInfo("m", "", "", 256, 64, "")
    schema = embedding_schema("image_id", info, "bf16")
    written = []
    for steps in (64, 1, 50, 1024, 1500, count):
        folder = Folder(str(tmp_path / str(steps)))
        with writing_parquet(folder, "part.parquet", schema) as file:
            writer = EmbeddingWriter(file)
            for start in range(0, count, steps):
                piece = slice(start, start + steps)
                writer.write(names[piece], names[piece], vectors[piece])
            writer.flush()
        written.append((tmp_path / str(steps) / "part.parquet").read_bytes())
    assert len(set(written)) == 1
    read = pq.ParquetFile(tmp_path / "1" / "part.parquet")
    sizes = [read.metadata.row_group(n).num_rows for n in range(read.num_row_groups)]
    assert sizes == [1024, 1024, 452]
    assert read.schema_arrow.metadata[b"computed_in"] == b"bf16"


def test_bytes_do_not_depend_on_the_number_of_threads(
    model: Path, pictures: Pictures, tmp_path: Path
) -> None:
    before = torch.get_num_threads()
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        try:
            encode(tmp_path / str(threads), model, pictures)
        finally:
            torch.set_num_threads(before)
    assert files(tmp_path / "1") == files(tmp_path / "2") == files(tmp_path / "3")


@pytest.mark.parametrize("known", [(), (0,), (3, 4, 17, 29), tuple(range(30))])
def test_what_is_known_is_neither_read_nor_encoded(
    known: tuple[int, ...], model: Path, pictures: Pictures, tmp_path: Path
) -> None:
    marks = {
        pictures.entries[n].hash: KnownImage(np.full(64, n, np.float32), b"thumbnail %d" % n)
        for n in known
    }
    was_read: list[int] = []

    def read(wanted: Sequence[CatalogEntry]) -> Iterator[tuple[CatalogEntry, bytes]]:
        was_read.extend(int(entry.image_id) for entry in wanted)
        return pictures.read(wanted)

    done = encode(tmp_path, model, pictures, read=read, known=marks)
    assert was_read == [n for n in range(30) if n not in known]
    found = rows(tmp_path)
    assert list(found) == [str(n) for n in range(30) if n != 5 or n in known]
    assert all((found[str(n)] == n).all() for n in known)
    assert {n: thumbnails(tmp_path)[str(n)] for n in known} == {
        n: b"thumbnail %d" % n for n in known
    }
    assert done.fresh == len(found) - len(known)
    encode(tmp_path / "without", model, pictures)
    for name, vector in rows(tmp_path / "without").items():
        if int(name) not in known:
            np.testing.assert_allclose(found[name], vector, rtol=0, atol=1e-6)


def test_known_without_its_thumbnail_is_made_anew(
    model: Path, pictures: Pictures, tmp_path: Path
) -> None:
    known = {pictures.entries[0].hash: KnownImage(np.zeros(64, np.float32))}
    assert encode(tmp_path / "jpeg", model, pictures, known=known).fresh == 29
    without = patient(picture=None, longest=None)
    assert encode(tmp_path / "none", model, pictures, without, known=known).fresh == 28


def test_known_texts_are_not_encoded(model: Path, tmp_path: Path) -> None:
    queries = [(7, "猫"), (8, "红色连衣裙"), (9, "狗")]
    known = {payload_hash("猫".encode()): np.full(64, 0.5, np.float32)}
    done = encode_texts(tmp_path, model, queries, known=known)
    assert (done.rows, done.fresh) == (3, 2)
    found = rows(tmp_path, "texts/part-00000.parquet")
    assert list(found) == ["7", "8", "9"]
    assert (found["7"] == 0.5).all()
    right = load(model).encode_texts(["红色连衣裙", "狗"])
    np.testing.assert_allclose([found["8"], found["9"]], right, rtol=0, atol=1e-6)


def test_the_same_shard_twice_gives_the_same_bytes(
    model: Path, pictures: Pictures, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        encode(tmp_path / name, model, pictures)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_a_done_shard_asks_for_nothing(model: Path, pictures: Pictures, tmp_path: Path) -> None:
    encode(tmp_path, model, pictures)
    done = encode(tmp_path, tmp_path / "no model", pictures)
    assert (done.rows, done.rejects, done.fresh) == (29, 1, 0)


def test_steps_are_timed(model: Path, pictures: Pictures, tmp_path: Path) -> None:
    done = encode(tmp_path, model, pictures)
    busy = ("read_busy", "decode_busy", "model_busy", "write_busy")
    assert all(done.seconds[name] > 0 for name in busy)


def test_draft_is_not_bit_exact_but_close(model: Path) -> None:
    """It halves a large JPEG while decoding."""
    from tasks.encode.model.pixels import decode_picture
    from tests.encode.model.pictures import painted, saved

    data = saved(painted(900, 700).convert("RGB"), "JPEG")
    plain = decode_picture(data, 64, 10**6)
    quick = decode_picture(data, 64, 10**6, draft=True)
    assert (quick.width, quick.height) == (plain.width, plain.height) == (900, 700)
    difference = np.abs(plain.pixels.astype(int) - quick.pixels)
    assert 0 < difference.mean() < 4
    small = saved(painted(100, 90).convert("RGB"), "JPEG")
    same = decode_picture(small, 64, 10**6, draft=True).pixels
    np.testing.assert_array_equal(same, decode_picture(small, 64, 10**6).pixels)
