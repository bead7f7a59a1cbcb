"""Shards on a Ray cluster of several nodes: the same output, and a dead node loses nothing.

The nodes are processes of this machine. `pip install 'muge-search[dev,ray]'`, then
`pytest -m slow tests/flows/orchestration/test_ray_shards.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from prefect import flow
from prefect.flows import load_flow_from_entrypoint

from flows.index_dataset import index_dataset
from tasks.context import Context
from tasks.errors import MugeError, UsageError
from tasks.index.runner import PartStage
from tasks.settings import load_settings
from tests.servers.dashvector import DashVectorServer
from tests.shop import make_pictures

ray = pytest.importorskip("ray", reason="the extra [ray] is not installed")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("flows_run"),
    # Ray leaves sockets and subprocesses to the garbage collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

IMAGES = 60
ROOT = Path(__file__).parents[3]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head that takes no shard and two nodes of one CPU and one (pretended) GPU each."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("MUGE_RAY_GPUS", "0")
    for name in ("DASHVECTOR_API_KEY", "DASHVECTOR_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(2):
        made.add_node(num_cpus=1, num_gpus=1)
    monkeypatch.setenv("RAY_ADDRESS", made.address)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def many(tmp_path: Path) -> str:
    return f"folder:{make_pictures(tmp_path / 'many', IMAGES)}"


def place(folder: Path, model: str) -> dict[str, Any]:
    return {
        "store": f"zvec:{folder / 'store'}",
        "work_dir": str(folder / "work"),
        "model": model,
        "shard_images": 5,
    }


def encoded(folder: Path) -> dict[str, bytes]:
    """Content of all embeddings, pictures and BM25 vectors, by name."""
    kinds = ("images-", "texts-", "pictures-", "sparse-")
    return {
        "/".join(path.parts[-2:]): path.read_bytes()
        for path in (folder / "work").rglob("*.parquet")
        if path.parent.name.startswith(kinds)
    }


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Ray gives a process as many threads as its shard has CPUs; sums depend on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("cluster", "one_thread")
def test_the_same_bytes_as_with_threads(many: str, tmp_path: Path, model: str) -> None:
    here = index_dataset(many, **place(tmp_path / "threads", model))
    there = index_dataset(many, runner="ray", **place(tmp_path / "ray", model))

    assert (there.encoded_images, there.documents) == (IMAGES, IMAGES)
    assert there.run_dir.rsplit("/", 1)[-1] == here.run_dir.rsplit("/", 1)[-1]
    assert encoded(tmp_path / "ray") == encoded(tmp_path / "threads")
    assert len(encoded(tmp_path / "ray")) == 3 * 12 + 1
    again = index_dataset(many, runner="ray", **place(tmp_path / "ray", model))
    assert (again.encoded_images, again.upserted, again.skipped_shards) == (0, 0, 12)


@pytest.mark.usefixtures("cluster", "one_thread")
def test_limited_runs_on_a_cluster_make_the_same(
    many: str, tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUGE_BATCH_IMAGES", "2")
    index_dataset(many, **place(tmp_path / "threads", model))
    made = []
    for _ in range(IMAGES):
        report = index_dataset(many, runner="ray", max_images=23, **place(tmp_path / "ray", model))
        made.append(report.encoded_images)
        if report.unfinished is None:
            break
    assert max(made) <= 23
    assert len(made) > 2
    assert sum(made) == IMAGES
    assert encoded(tmp_path / "ray") == encoded(tmp_path / "threads")


@pytest.mark.usefixtures("cluster")
def test_a_flow_that_a_prefect_worker_loaded(many: str, tmp_path: Path, model: str) -> None:
    """Prefect gives a flow's file a module name that a Ray worker cannot import."""
    loaded: Any = load_flow_from_entrypoint(f"{ROOT}/flows/index_dataset.py:index_dataset")
    report: Any = loaded(many, runner="ray", **place(tmp_path, model))
    assert (report.encoded_images, report.documents) == (IMAGES, IMAGES)


def test_a_node_that_dies_loses_nothing(
    cluster: Any, many: str, tmp_path: Path, model: str
) -> None:
    done_then = []

    def kill_after_the_first_shard() -> None:
        for _ in range(6000):
            if done := list((tmp_path / "work").glob("*/*/images-*/*.done")):
                cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
                done_then.append(len(done))
                return
            time.sleep(0.01)

    killer = threading.Thread(target=kill_after_the_first_shard)
    killer.start()
    report = index_dataset(many, runner="ray", **place(tmp_path, model))
    killer.join()

    assert done_then[0] < IMAGES // 5
    assert len(cluster.list_all_nodes()) == 2
    assert (report.images, report.documents, report.rejects) == (IMAGES, IMAGES, 0)
    # a shard that was complete when its node died before it could say so is not made again
    assert IMAGES - 5 <= report.encoded_images <= IMAGES
    assert not list((tmp_path / "work").rglob("*.partial"))


def who(_: Context, carried: str, number: int) -> tuple[int, int]:
    time.sleep(8 if number == 0 else 0.1)
    return os.getpid(), number


def never_done(_: Context, carried: str, number: int) -> None:
    """Every part needs work."""


def fail(_: Context, carried: str, number: int) -> None:
    if number == 1:
        raise UsageError("shard 1 cannot be used")
    if number == 2:
        os._exit(7)


@pytest.mark.usefixtures("cluster")
def test_a_process_is_kept_and_a_slow_shard_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from flows.orchestration.ray_shards import on_ray

    monkeypatch.setenv("MUGE_RAY_GPUS", "1")

    @flow
    def run() -> list[tuple[int, int]]:
        with Context() as context, on_ray(load_settings(), context) as shards:
            return shards.over(PartStage("who", who, never_done), "carried", range(20))

    ran = run()
    assert [number for _, number in ran] == list(range(20))
    slow = ran[0][0]
    processes = {process for process, _ in ran[1:]} - {slow}
    assert len(processes) == 1  # with its GPU, and so with its model
    assert sum(process == slow for process, _ in ran) < 5


@pytest.mark.usefixtures("cluster")
def test_failures_come_back_in_one_line() -> None:
    from flows.orchestration.ray_shards import on_ray

    @flow
    def run(numbers: list[int]) -> list[None]:
        with Context() as context, on_ray(load_settings(), context) as shards:
            return shards.over(PartStage("fail", fail, never_done), "carried", numbers)

    with pytest.raises(UsageError, match="shard 1 cannot be used"):
        run([0, 1])
    with pytest.raises(MugeError, match=r"a shard failed on Ray.*WorkerCrashedError") as error:
        run([0, 2])
    assert "\n" not in str(error.value)


def test_only_this_process_writes_to_the_service(
    cluster: Any,
    many: str,
    dashvector_server: DashVectorServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    model: str,
) -> None:
    """One quota for all nodes: they have no credentials, which were set after they started."""
    monkeypatch.setenv("DASHVECTOR_API_KEY", dashvector_server.api_key)
    monkeypatch.setenv("DASHVECTOR_ENDPOINT", dashvector_server.endpoint)
    here = {**place(tmp_path, model), "store": "dashvector:"}
    report = index_dataset(many, runner="ray", **here)
    assert (report.upserted, report.verified) == (IMAGES, True)


@pytest.mark.usefixtures("cluster")
def test_more_gpus_than_there_are(
    many: str, tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUGE_RAY_GPUS", "3")
    with pytest.raises(UsageError, match="3 a shard, and the Ray cluster has 2"):
        index_dataset(many, runner="ray", **place(tmp_path, model))


def test_no_cluster_at_the_address(
    many: str, tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(UsageError, match=r"no Ray cluster at RAY_ADDRESS=127\.0\.0\.1:1") as error:
        index_dataset(many, runner="ray", **place(tmp_path, model))
    assert "\n" not in str(error.value)


def test_the_command_starts_a_cluster_of_its_own(tmp_path: Path, many: str, model: str) -> None:
    """Without a server and a cluster: both are temporary, and relative names mean the same."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MUGE_", "RAY_"))}
    code = "from flows.command.app import main; main()"
    name = os.path.relpath(many.removeprefix("folder:"), tmp_path)
    arguments = ["index", f"folder:{name}", "--runner", "ray", "--model", model, "--json"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=tmp_path,
        env={**kept, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert f'"encoded_images": {IMAGES}' in done.stdout
    assert "Traceback" not in done.stderr
