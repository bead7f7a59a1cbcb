"""How long others wait while one client sends costly pictures: alone, and attacked, in one run.

`python -m tests.benchmarks.studio_attack [--threads 12] [--seconds 15]`
"""

from __future__ import annotations

import argparse
import base64
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from statistics import median

import httpx

from tests.deployments.collection import index_folder, sample_pictures, settings_in
from tests.deployments.conftest import server_process

PICTURE = base64.b64decode("UklGRhoAAABXRUJQVlA4TA4AAAAvm9gmBgcQEf0PRET/Aw==")
TEXTS = ("熊猫", "雨伞", "生日蛋糕", "猫", "狗")


def ask(address: str, seconds: float) -> list[float]:
    """Seconds of each search of a client that asks one after the other."""
    took: list[float] = []
    end = time.monotonic() + seconds
    transport = httpx.HTTPTransport(local_address="127.0.0.2")
    with httpx.Client(transport=transport, timeout=120) as client:
        while time.monotonic() < end:
            params = {"text": TEXTS[len(took) % len(TEXTS)], "topk": "5"}
            began = time.monotonic()
            answer = client.get(f"{address}/api/search", params=params)
            took.append(time.monotonic() - began)
            assert answer.status_code in (200, 503), answer.text
            time.sleep(0.1)
    return sorted(took)


def attack(address: str, stop: threading.Event, answers: Counter[int]) -> None:
    """Upload the picture again and again."""
    with httpx.Client(timeout=120) as client:
        while not stop.is_set():
            headers = {"Content-Type": "image/webp"}
            sent = client.post(f"{address}/api/pictures", content=PICTURE, headers=headers)
            answers[sent.status_code] += 1
            if sent.status_code != 201:
                stop.wait(0.05)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        index_folder(sample_pictures(place / "pictures"), settings_in(place))
        with server_process(place, MUGE_WEB_RATE="100000") as address:
            ask(address, 2)
            alone = ask(address, options.seconds)
            stop, answers = threading.Event(), Counter[int]()
            threads = [
                threading.Thread(target=attack, args=(address, stop, answers))
                for _ in range(options.threads)
            ]
            for thread in threads:
                thread.start()
            time.sleep(1)
            attacked = ask(address, options.seconds)
            stop.set()
            for thread in threads:
                thread.join()
    print(f"{'':<10}{'searches':>10}{'p50 ms':>10}{'worst ms':>10}{'ratio':>8}")
    for name, took in (("alone", alone), ("attacked", attacked)):
        ratio = median(took) / median(alone)
        print(
            f"{name:<10}{len(took):>10}{1000 * median(took):>10.1f}{1000 * took[-1]:>10.1f}"
            f"{ratio:>8.1f}"
        )
    print(f"the attacker's answers: {dict(answers)}")


if __name__ == "__main__":
    main()
