"""Limited reindexes in a row, killed at random, on zvec and DashVector: nothing is lost, stale or
encoded twice, and searches use the collection before until the new one is whole."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tasks.context import Context
from tasks.records import Document
from tasks.settings import load_settings
from tests.campaign.children import STAGES, Kill, Zygote
from tests.plain import reindex_dataset, search_images
from tests.servers.dashvector import DashVectorServer
from tests.servers.loopback import loopback_allowed
from tests.shop import make_pictures

COUNT, NEW, BATCH, LIMIT = 18, 30, 4, 9
IDS = [str(n) for n in range(300)]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[DashVectorServer]:
    with loopback_allowed(), DashVectorServer() as running:
        yield running


@pytest.fixture(scope="module")
def zygote(server: DashVectorServer) -> Iterator[Zygote]:
    environment = {
        "DASHVECTOR_API_KEY": server.api_key,
        "DASHVECTOR_ENDPOINT": server.endpoint,
        "MUGE_BATCH_IMAGES": str(BATCH),
        "MUGE_CHECKPOINT_SECONDS": "0",
    }
    with ExitStack() as stack:
        patched = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in environment.items():
            patched.setenv(name, value)
        yield stack.enter_context(Zygote(environment))


def held(given: dict[str, Any]) -> tuple[str, dict[str, Document]]:
    """The collection that searches use, and what is in it."""
    settings = load_settings(**{k: given[k] for k in ("store", "work_dir", "collection")})
    with Context() as context:
        name = context.aliases(settings).meant()
        store = context.store(settings.store_uri)
        found = store.fetch(name, IDS)
        assert store.count(name) == len(found)
        return name, found


def alike(one: dict[str, Document], other: dict[str, Document]) -> bool:
    return one.keys() == other.keys() and all(
        (dict(one[i].fields), one[i].vector.tobytes())
        == (dict(other[i].fields), other[i].vector.tobytes())
        and dict(one[i].sparse) == dict(other[i].sparse)
        for i in one
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("strategy", ["in-place", "blue-green"])
@pytest.mark.parametrize("kind", ["zvec", "dashvector"])
def test_limited_and_killed_runs_end_as_one_that_is_neither(
    kind: str, strategy: str, seed: int, zygote: Zygote, tmp_path: Path, model: str
) -> None:
    draw = random.Random(f"{kind} {strategy} {seed}")
    given: dict[str, Any] = {
        "dataset": f"folder:{make_pictures(tmp_path / 'pictures', COUNT)}",
        "store": "dashvector:" if kind == "dashvector" else f"zvec:{tmp_path / 'store'}",
        "work_dir": str(tmp_path / "work"),
        "collection": f"{kind[:4]}-{strategy[:2]}-{seed}",
        "strategy": strategy,
        "model": model,
        "shard_images": 10,
        "workers": draw.choice([1, 2]),
    }
    options = {name: value for name, value in given.items() if name != "dataset"}
    reindex_dataset(given["dataset"], **options)
    before = held(given)
    pictures = make_pictures(tmp_path / "pictures", NEW, first=100)
    (pictures / "3.png").unlink()
    lines = (pictures / "queries.jsonl").read_text("utf-8").splitlines(keepends=True)
    kept = [line for line in lines if '"3.png"' not in line]
    (pictures / "queries.jsonl").write_text("".join(kept), "utf-8")

    request = {"given": given | {"max_images": LIMIT}, "prefect": False, "retries": True}
    encoded, killed, nights = 0, 0, 0
    while True:
        nights += 1
        assert nights < 60
        kill = None
        if draw.random() < 0.6:
            kill = Kill(draw.choice(STAGES), draw.randint(1, 6), draw.random() / 50)
        ended = zygote.run(request, tmp_path / "result.json", kill)
        assert ended.error is None
        if ended.report is None:
            killed += 1
            continue
        encoded += ended.report["encoded_images"]
        assert ended.report["encoded_images"] <= LIMIT
        if ended.report["unfinished"] is None:
            break
        name, there = held(given)
        assert name == before[0]
        assert alike(there, before[1])
        here = {key: given[key] for key in ("store", "work_dir", "collection")}
        assert search_images(["黄色雨伞"], **here)[0].hits
    assert encoded <= NEW
    if not killed:
        assert encoded == NEW
    whole = {**options, "work_dir": str(tmp_path / "other"), "collection": f"other-{seed}"}
    whole["store"] = f"zvec:{tmp_path / 'other-store'}"
    first = make_pictures(tmp_path / "first", COUNT)
    reindex_dataset(f"folder:{first}", **whole)
    (tmp_path / "pictures").rename(tmp_path / "gone")
    first.rename(tmp_path / "out")
    (tmp_path / "gone").rename(first)
    reindex_dataset(f"folder:{first}", **whole)
    name, there = held(given)
    expected = held(whole)[1]
    if kind == "zvec":
        assert alike(there, expected)
    assert there.keys() == expected.keys()
    assert "3" not in there
