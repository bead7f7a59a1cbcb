"""Pictures a second of the download stage against img2dataset, from the same server in one run.

python -m tests.benchmarks.download FOLDER --images 10000 --img2dataset VENV/bin/python

img2dataset is left out without an interpreter that has it; it keeps what it downloads as it is
(no resizing, no encoding), in as many processes as there are cores. The two take turns, `--rounds`
times, each from a server that is started anew. The server is a process of this machine and takes
some of it. At the end every picture of both is compared with what was served. `--kill` also kills
the stage twice on its way, and counts what was asked for again.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import platform
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import Process, Value
from pathlib import Path
from statistics import median
from typing import Any

from tasks.dataset.readers import READERS, open_reader
from tasks.downloaded.kept import Kept
from tasks.downloaded.reader import Downloaded
from tasks.downloaded.stage import download_pictures
from tasks.settings import load_settings
from tasks.work.folder import Folder
from tests.download import addresses
from tests.download.addresses import write_addresses

IMG2DATASET = """
import sys
from img2dataset import download
if __name__ == "__main__":
    download(
        url_list=sys.argv[1], input_format="csv", url_col="url", output_folder=sys.argv[2],
        output_format="webdataset", processes_count=int(sys.argv[3]),
        thread_count=int(sys.argv[4]), resize_mode="no", skip_reencode=True,
        disable_all_reencoding=True, number_sample_per_shard=1000, enable_wandb=False,
        disallowed_header_directives=[],
    )
"""
THREADS = 32


def picture(number: int, size: int) -> bytes:
    """Bytes that begin like a JPEG and differ with the number; about `size` of them."""
    draw = random.Random(number)
    return b"\xff\xd8\xff\xe0" + draw.randbytes(draw.randint(size // 2, size * 3 // 2))


class Pictures(asyncio.Protocol):
    """Answers with picture N of any path that ends in /N.jpg."""

    kept: dict[int, bytes]
    asked: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            number = int(head.split(b" ", 2)[1].rpartition(b"/")[2].removesuffix(b".jpg"))
            body = self.kept[number]
            self.asked.value += 1
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n"
                b'ETag: "%d"\r\n\r\n' % (len(body), number) + body
            )
            if b"connection: close" in head.lower():
                self._transport.close()


def serve(listening: socket.socket, images: int, size: int, asked: Any) -> None:
    Pictures.kept = {number: picture(number, size) for number in range(images)}
    Pictures.asked = asked

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Pictures, sock=listening)
        asked.value = 0
        await server.serve_forever()

    asyncio.run(run())


@contextmanager
def server(images: int, size: int) -> Iterator[tuple[str, Any]]:
    """The address of a server in a process of its own, and how often it was asked."""
    asked = Value("q", -1)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        process = Process(target=serve, args=(listening, images, size, asked), daemon=True)
        process.start()
        while asked.value < 0:
            time.sleep(0.05)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", asked
        finally:
            process.terminate()
            process.join()


def run_stage(dataset: str, work: str) -> None:
    """What a process of its own does: the stage, and what it measured as a JSON line."""
    READERS["addresses"] = addresses.KIND
    os.environ["MUGE_DOWNLOAD_PRIVATE"] = "1"
    os.environ["MUGE_DOWNLOAD_PER_HOST"] = str(THREADS)
    settings, folder = load_settings(work_dir=work), Folder(work)
    began = time.perf_counter()
    done = download_pictures(
        open_reader(dataset), folder, settings, "missing", lambda _: None, lambda _: None
    )
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"seconds": seconds, "fetched": done.fetched, "peak_mb": peak}))


def started(dataset: str, work: Path) -> subprocess.Popen[str]:
    script = "import sys; from tests.benchmarks.download import run_stage; run_stage(*sys.argv[1:])"
    return subprocess.Popen(
        [sys.executable, "-c", script, dataset, str(work)], stdout=subprocess.PIPE, text=True
    )


def ours(place: Path, url: str, images: int) -> dict[str, Any]:
    dataset = write_addresses(place / "addresses", (f"{url}/{n}.jpg" for n in range(images)))
    before = cpu_seconds()
    said, _ = started(dataset, place / "work").communicate()
    return {**json.loads(said), "cpu_seconds": cpu_seconds() - before}


def theirs(place: Path, url: str, images: int, python: str) -> dict[str, Any]:
    table = place / "urls.csv"
    table.write_text("url\n" + "".join(f"{url}/{n}.jpg\n" for n in range(images)))
    (place / "run.py").write_text(IMG2DATASET)
    cores = os.cpu_count() or 1
    before = cpu_seconds()
    subprocess.run(
        [python, place / "run.py", table, place / "out", str(cores), str(THREADS // cores)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stats = [json.loads(file.read_text()) for file in (place / "out").glob("*_stats.json")]
    # its own clock, without the seconds that it takes to start
    seconds = max(each["end_time"] for each in stats) - min(each["start_time"] for each in stats)
    fetched = sum(each["successes"] for each in stats)
    return {"seconds": seconds, "fetched": fetched, "cpu_seconds": cpu_seconds() - before}


def cpu_seconds() -> float:
    """What the processes that were started here and have ended took of the processors."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def hashes_of_ours(place: Path) -> Iterator[str]:
    READERS["addresses"] = addresses.KIND
    kept = Kept(Folder(str(place / "work")))
    reader = Downloaded(open_reader(f"addresses:{place / 'addresses'}"), kept)
    for span in reader.spans():
        for row in reader.read(span):
            assert row.image is not None, row.defect
            yield hashlib.sha256(row.image).hexdigest()


def hashes_of_theirs(place: Path) -> Iterator[str]:
    for file in sorted((place / "out").glob("*.tar")):
        with tarfile.open(file) as tar:
            for member in tar:
                if member.name.endswith(".jpg"):
                    content = tar.extractfile(member)
                    assert content is not None
                    yield hashlib.sha256(content.read()).hexdigest()


def killed_twice(place: Path, images: int, size: int) -> dict[str, int]:
    """Kill the stage at a third and at two thirds of the way; what was asked in all."""
    with server(images, size) as (url, asked):
        dataset = write_addresses(place / "addresses", (f"{url}/{n}.jpg" for n in range(images)))
        for third in (1, 2):
            running = started(dataset, place / "work")
            while asked.value < images * third // 3:
                time.sleep(0.01)
            running.send_signal(signal.SIGKILL)
            running.communicate()
        said, _ = started(dataset, place / "work").communicate()
        wanted = {hashlib.sha256(picture(n, size)).hexdigest() for n in range(images)}
        assert set(hashes_of_ours(place)) == wanted
        again = asked.value - images
    return {"fetched_by_the_last": json.loads(said)["fetched"], "asked_again": again}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--bytes", type=int, default=20_000, help="mean size of a picture")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--img2dataset", help="interpreter of an environment that has it")
    parser.add_argument("--kill", action="store_true")
    given = parser.parse_args(arguments)
    rates: dict[str, list[float]] = {}
    processor: dict[str, list[float]] = {}
    peak = 0
    wanted = {hashlib.sha256(picture(n, given.bytes)).hexdigest() for n in range(given.images)}
    for number in range(given.rounds):
        for name in ("ours", *(["img2dataset"] if given.img2dataset else [])):
            place = given.folder / f"{name}-{number}"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            with server(given.images, given.bytes) as (url, _):
                if name == "ours":
                    done = ours(place, url, given.images)
                    found = set(hashes_of_ours(place))
                    peak = max(peak, done["peak_mb"])
                else:
                    done = theirs(place, url, given.images, given.img2dataset)
                    found = set(hashes_of_theirs(place))
            assert found == wanted, f"{name}: {len(found)} pictures, {len(found ^ wanted)} differ"
            rates.setdefault(name, []).append(done["fetched"] / done["seconds"])
            processor.setdefault(name, []).append(done["cpu_seconds"] / given.images * 1e3)
            shutil.rmtree(place)
    said: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {sys.version.split()[0]}",
        "images": given.images,
        "mean_bytes": given.bytes,
        "per_second": {name: [round(rate) for rate in each] for name, each in rates.items()},
        "cpu_ms_a_picture_with_start": {n: [round(c, 2) for c in e] for n, e in processor.items()},
        "same_bytes": True,
        "peak_mb": peak,
    }
    if given.img2dataset:
        said["ratio"] = round(median(rates["ours"]) / median(rates["img2dataset"]), 2)
    if given.kill:
        place = given.folder / "killed"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        said["killed_twice"] = killed_twice(place, given.images, given.bytes)
        shutil.rmtree(place)
    print(json.dumps(said, indent=1))


if __name__ == "__main__":
    main()
