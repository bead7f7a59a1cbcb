"""A run that is killed inside a part loses little, and the next one ends in the very same bytes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tasks.dataset.catalog import CatalogEntry
from tasks.errors import WorkFolderError
from tests.encode.model.models import TinyModel
from tests.encode.stage.parts import (
    QUERIES,
    Killed,
    Pictures,
    dying,
    encode,
    encode_texts,
    files,
    make_pictures,
    patient,
)

Tiny = Callable[[str], TinyModel]
BAD = (0, 3, 11, 12, 13, 29)


@pytest.fixture(scope="module")
def model(tiny: Tiny) -> Path:
    return tiny("resnet-50").folder


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return make_pictures(30, BAD)


@pytest.fixture(scope="module")
def undisturbed(
    model: Path, pictures: Pictures, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = encode(folder, model, pictures, patient(checkpoint=600.0))
    assert (done.rows, done.rejects, done.fresh) == (24, 6, 24)
    assert not (folder / "images" / "pieces").exists(), "a quick shard writes no pieces"
    return files(folder)


class Reading:
    """Reads pictures, counts them, and may end the run."""

    def __init__(self, pictures: Pictures, dies_after: int = 10**9) -> None:
        self.pictures = pictures
        self.count = 0
        self._last = dies_after

    def __call__(self, wanted: Sequence[CatalogEntry]) -> Iterator[tuple[CatalogEntry, bytes]]:
        for item in self.pictures.read(wanted):
            if self.count == self._last:
                raise Killed
            self.count += 1
            yield item


@pytest.mark.gate("0", "4", "9", "11")
@pytest.mark.parametrize("seed", range(12))
def test_a_shard_killed_anywhere_ends_in_the_same_bytes(
    seed: int, model: Path, pictures: Pictures, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    chance = random.Random(seed)
    for _ in range(chance.randint(1, 4)):
        read = Reading(pictures, chance.randint(0, 30) if chance.random() < 0.5 else 10**9)
        advance = dying(chance.randint(1, 30))
        with pytest.raises(Killed):
            encode(tmp_path, model, pictures, read=read, advance=advance)
    encode(tmp_path, model, pictures)
    assert files(tmp_path) == undisturbed


def test_only_what_no_piece_holds_is_read_again(
    model: Path, pictures: Pictures, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        encode(tmp_path, model, pictures, advance=dying(18))
    told: list[int] = []
    read = Reading(pictures)
    done = encode(tmp_path, model, pictures, read=read, advance=told.append)
    assert read.count <= 30 - 18
    assert done.fresh < done.rows == 24
    assert sum(told) == 30
    assert files(tmp_path) == undisturbed


@pytest.mark.parametrize("spoil", ["marker", "cut", "altered"])
def test_a_torn_piece_is_made_anew(
    spoil: str, model: Path, pictures: Pictures, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        encode(tmp_path, model, pictures, advance=dying(22))
    first, second = sorted((tmp_path / "images" / "pieces").glob("*.parquet"))[:2]
    if spoil == "marker":
        Path(f"{second}.done").unlink()
    else:
        content = second.read_bytes()
        second.write_bytes(content[:-5] if spoil == "cut" else content[:-9] + b"x" + content[-8:])
    read = Reading(pictures)
    encode(tmp_path, model, pictures, read=read)
    assert first.name not in files(tmp_path)
    assert 30 - 12 <= read.count < 30
    assert files(tmp_path) == undisturbed


def test_pieces_of_other_options_are_not_taken(
    model: Path, pictures: Pictures, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        encode(tmp_path, model, pictures, patient(batch=5), advance=dying(20))
    read = Reading(pictures)
    encode(tmp_path, model, pictures, read=read)
    assert read.count == 30
    assert files(tmp_path) == undisturbed, "and they are gone in the end"


def test_a_piece_that_cannot_be_written_leaves_no_gap(
    model: Path, pictures: Pictures, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    """Whatever was begun behind a failed write must not be taken for what is missing."""
    with pytest.raises(Killed):
        encode(tmp_path, model, pictures, advance=dying(12))
    first, second = sorted((tmp_path / "images" / "pieces").glob("*.parquet"))[:2]
    for file in first.parent.iterdir():
        file.unlink()
    second.mkdir()  # in the way
    with pytest.raises(WorkFolderError, match="cannot write"):
        encode(tmp_path, model, pictures)
    second.rmdir()
    assert sorted(first.parent.iterdir()) == [first, Path(f"{first}.done")]
    encode(tmp_path, model, pictures)
    assert files(tmp_path) == undisturbed


SLOW_RUN = """
import sys, time
from pathlib import Path
from tests.encode.stage.parts import encode, make_pictures
pictures = make_pictures(30, (0, 3, 11, 12, 13, 29))
def read(wanted):
    for item in pictures.read(wanted):
        time.sleep(0.1)
        yield item
encode(Path(sys.argv[1]), Path(sys.argv[2]), pictures, read=read)
"""


@pytest.mark.thorough
def test_a_process_killed_by_the_system(
    model: Path, pictures: Pictures, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    process = subprocess.Popen([sys.executable, "-c", SLOW_RUN, str(tmp_path), str(model)])
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("*-00001.parquet.done")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was killed at work"
    for left in tmp_path.rglob("*.partial"):  # as the run lock does
        left.unlink()
    read = Reading(pictures)
    encode(tmp_path, model, pictures, read=read)
    assert read.count <= 30 - 9
    assert files(tmp_path) == undisturbed


@pytest.mark.thorough
def test_queries_killed_anywhere_end_in_the_same_bytes(model: Path, tmp_path: Path) -> None:
    encode_texts(tmp_path / "undisturbed", model, checkpoint=600.0)
    for number, after in enumerate((1, 5000, 9000)):
        folder = tmp_path / str(number)
        with pytest.raises(Killed):
            encode_texts(folder, model, advance=dying(after))
        done = encode_texts(folder, model)
        assert done.rows == len(QUERIES)
        assert done.fresh == {1: 9000 - 4096, 5000: 9000 - 8192, 9000: 0}[after]
        assert files(folder) == files(tmp_path / "undisturbed")
