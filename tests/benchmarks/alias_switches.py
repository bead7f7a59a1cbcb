"""Searches through blue/green switches under load: how many fail, are empty, or mix two versions.

python -m tests.benchmarks.alias_switches --switches 20 --clients 4 --pictures 300
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np

from tests.campaign.children import Zygote
from tests.deployments.conftest import server_process
from tests.encode.model.models import make_model
from tests.shop import make_pictures

WORDS = ("红色连衣裙", "蓝色帽子", "绿色的包", "黄色雨伞", "白色球鞋")
VERSION = re.compile(r"第(\d+)版")


@dataclass
class Seen:
    """What searches got: how many, and what was wrong with some of them."""

    searches: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    versions: set[str] = field(default_factory=set)
    milliseconds: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, answer: httpx.Response, milliseconds: float) -> None:
        """Judge one answer."""
        hits = answer.json()["hits"] if answer.status_code == 200 else []
        found = {version for hit in hits for version in VERSION.findall(hit["fields"]["query"])}
        with self.lock:
            self.searches += 1
            self.milliseconds.append(milliseconds)
            self.versions |= found
            self.wrong[f"status {answer.status_code}"] += answer.status_code != 200
            self.wrong["empty"] += answer.status_code == 200 and not hits
            self.wrong["mixed"] += len(found) > 1


def write_version(folder: Path, pictures: int, version: int) -> None:
    """The same pictures with queries that all name the version: every document changes."""
    lines = [
        {
            "query_id": n,
            "query": f"{WORDS[n % len(WORDS)]} 第{version}版 {n}号",
            "image_id": n,
            "image": f"{n}.png",
        }
        for n in range(pictures)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "queries.jsonl").write_text(text, "utf-8")


def ask(address: str, seen: Seen, done: threading.Event) -> None:
    """One client: the next search starts when the last was answered."""
    with httpx.Client(base_url=address, timeout=60) as client:
        while not done.is_set():
            text = WORDS[seen.searches % len(WORDS)]
            start = time.perf_counter()
            answer = client.get("/api/search", params={"text": text, "alpha": 0.5})
            seen.take(answer, (time.perf_counter() - start) * 1000)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--switches", type=int, default=20)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--pictures", type=int, default=300)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="alias-switches-") as folder, Zygote({}) as zygote:
        place, data = Path(folder), Path(folder) / "data"
        make_pictures(data, given.pictures)
        home = place / ".muge"
        request = {
            "prefect": False,
            "retries": True,
            "given": {
                "dataset": f"folder:{data}",
                "strategy": "blue-green",
                "store": f"zvec:{home}/store",
                "work_dir": f"{home}/work",
                "model": str(make_model(place / "model", "resnet-50").folder),
                "max_drop": 1.0,
            },
        }
        seen, done, took = Seen(), threading.Event(), []
        write_version(data, given.pictures, 0)
        zygote.run(request, place / "result.json")
        with server_process(place, MUGE_WEB_RATE="1000000") as address:
            clients = [
                threading.Thread(target=ask, args=(address, seen, done))
                for _ in range(given.clients)
            ]
            for client in clients:
                client.start()
            for version in range(1, given.switches + 1):
                write_version(data, given.pictures, version)
                start = time.perf_counter()
                ended = zygote.run(request, place / "result.json")
                took.append(time.perf_counter() - start)
                assert ended.report is not None, ended.error
                assert ended.report["collection"] == f"muge-{version + 1}"
                time.sleep(1)
            done.set()
            for client in clients:
                client.join()
    print(f"{platform.node()}: {given.pictures} pictures, {given.clients} clients")
    print(f"{given.switches} switches, {np.mean(took):.1f} s each with all documents changed")
    print(f"{seen.searches} searches, answers of {len(seen.versions)} versions")
    p50, p99 = np.percentile(seen.milliseconds, (50, 99))
    print(f"p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    print("wrong:", {what: count for what, count in seen.wrong.items() if count} or "none")


if __name__ == "__main__":
    main()
