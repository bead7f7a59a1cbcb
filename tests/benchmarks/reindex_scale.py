"""What a reindex of a large collection costs: unchanged, ten rows added, 1 % changed, blue/green.

python -m tests.benchmarks.reindex_scale FOLDER --images 30000

Data, work folder and store are made in FOLDER; a collection that is there is used again.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from tests.benchmarks.make_muge import write_muge

COMMAND = [sys.executable, "-c", "from flows.command.app import main; main()"]
EVERY = 300
"""Of so many rows one is replaced, one removed and one added: 1 % in all."""
QUERIES, IMAGES = "MR_valid_queries.jsonl", "MR_valid_imgs.tsv"


def change(source: Path, target: Path) -> None:
    """Write the data set again with 1 % of it changed."""
    target.mkdir(parents=True, exist_ok=True)
    removed = set()
    with (source / IMAGES).open() as lines, (target / IMAGES).open("w") as out:
        for number, line in enumerate(lines):
            image_id, _, content = line.rstrip("\n").partition("\t")
            kind = number % EVERY
            if kind == 1:
                removed.add(int(image_id))
                continue
            changed = _another(content) if kind in (0, 2) else content
            out.write(f"{image_id}\t{content if kind == 2 else changed}\n")
            if kind == 2:
                out.write(f"{int(image_id) + 10_000_000}\t{changed}\n")
    with (source / QUERIES).open() as lines, (target / QUERIES).open("w") as out:
        for said in _queries(lines, removed):
            out.write(json.dumps(said, ensure_ascii=False) + "\n")


def add_ten(source: Path, target: Path) -> None:
    """Write the data set again with ten rows more, all over it."""
    target.mkdir(parents=True, exist_ok=True)
    count = sum(1 for _ in (source / IMAGES).open())
    added: list[int] = []
    with (source / IMAGES).open() as lines, (target / IMAGES).open("w") as out:
        for number, line in enumerate(lines):
            out.write(line)
            if number % max(1, count // 10) == 0 and len(added) < 10:
                image_id, _, content = line.rstrip("\n").partition("\t")
                added.append(int(image_id) + 20_000_000)
                out.write(f"{added[-1]}\t{_another(content)}\n")
    with (target / QUERIES).open("w") as out:
        out.write((source / QUERIES).read_text("utf-8"))
        for new in added:
            said = {"query_id": new, "query_text": f"新品 {new}", "item_ids": [new]}
            out.write(json.dumps(said, ensure_ascii=False) + "\n")


def _another(content: str) -> str:
    """The picture with a corner painted over."""
    with Image.open(io.BytesIO(base64.urlsafe_b64decode(content))) as image:
        picture = image.convert("RGB")
    picture.paste((200, 30, 90), (0, 0, 12, 12))
    target = io.BytesIO()
    picture.save(target, "JPEG", quality=88)
    return base64.urlsafe_b64encode(target.getvalue()).decode()


def _queries(lines: Iterator[str], removed: set[int]) -> Iterator[dict[str, Any]]:
    for line in lines:
        said = json.loads(line)
        said["item_ids"] = [item for item in said["item_ids"] if item not in removed]
        if said["item_ids"]:
            yield said


def _run(arguments: list[str]) -> tuple[dict[str, Any], float]:
    start = time.perf_counter()
    done = subprocess.run([*COMMAND, *arguments, "--json"], capture_output=True, text=True)
    if done.returncode not in (0, 3):
        raise SystemExit(done.stderr)
    return json.loads(done.stdout), time.perf_counter() - start


def _print(what: str, report: dict[str, Any], seconds: float) -> None:
    stages = {name: stage["seconds"] for name, stage in report["stages"].items()}
    inside = sum(stages.values())
    print(f"{what}: {seconds:.1f} s, {inside:.1f} s of it in stages")
    moved = ("documents", "upserted", "deleted", "encoded_images", "bm25_drift")
    print("  " + ", ".join(f"{name} {report[name]}" for name in moved if name in report))
    print("  " + ", ".join(f"{name} {took:.2f}" for name, took in stages.items()), flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=30_000)
    parser.add_argument("--model", default="sample")
    given = parser.parse_args()
    folder, data = given.folder, given.folder / f"data-{given.images}"
    if not (data / "done").exists():
        queries = write_muge(data, given.images, round(given.images * 1.0196), "valid")
        (data / "done").write_text(str(queries))
    now = folder / "reindexed-data"  # one address, at which the data changes
    for old in (now, folder / "reindexed-work", folder / "reindexed-store"):
        shutil.rmtree(old, ignore_errors=True)
    shutil.copytree(data, now)
    place = ["--work-dir", str(folder / "reindexed-work")]
    place += ["--store", f"zvec:{folder / 'reindexed-store'}"]
    dataset = f"muge:{now}?split=valid"
    print(f"{platform.node()}, {given.images} images")
    _print("index", *_run(["index", dataset, "--model", given.model, *place]))
    arguments = ["reindex", dataset, "--model", given.model, *place]
    _print("unchanged", *_run(arguments))
    more = folder / "data-more"
    shutil.rmtree(more, ignore_errors=True)
    add_ten(data, more)
    shutil.rmtree(now)
    shutil.copytree(more, now)
    _print("10 rows added, in place", *_run(arguments))
    shutil.rmtree(now)
    change(more, now)
    _print("1 % changed, in place", *_run(arguments))
    _print("unchanged again", *_run(arguments))
    _print("blue/green", *_run([*arguments, "--strategy", "blue-green"]))


if __name__ == "__main__":
    main()
