"""Runs in processes of their own that can be killed at any stage.

One process imports everything once and forks for each run: a run starts in a few milliseconds
instead of seconds, and a SIGKILL hits a whole process as in production.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STAGES = (
    "plan",
    "find_encoded",
    "encode_images",
    "encode_texts",
    "train_bm25",
    "encode_sparse",
    "find_changes",
    "upsert",
    "delete_removed",
    "verify",
    "check",
    "record and alias",
)
"""The last is all that comes after the checks: the record, the alias, the report."""


@dataclass(frozen=True, slots=True)
class Kill:
    """When to kill: at the `nth` sign of a stage (its start, each advance, its end), `after`
    seconds later."""

    stage: str
    nth: int
    after: float


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: `killed_in` is the stage it was in, `report` what the flow returned, `error`
    the error's class and message."""

    killed_in: str | None
    report: dict[str, Any] | None
    error: tuple[str, str] | None


class Zygote:
    """The process that forks runs; use as a context manager."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.campaign.children"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self._said().readline()  # ready

    def __enter__(self) -> Zygote:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._said().close()

    def run(self, request: dict[str, Any], result: Path, kill: Kill | None = None) -> Ended:
        """Run a flow to its end, or until it is killed."""
        assert self._process.stdin is not None
        result.unlink(missing_ok=True)
        self._process.stdin.write(json.dumps({**request, "result": str(result)}) + "\n")
        self._process.stdin.flush()
        child = int(self._said().readline())
        stage, signs, killed = "start", 0, False
        timer: threading.Timer | None = None
        while (line := self._said().readline()) != "end\n":
            assert line, "the forking process died"
            sign, _, name = line.strip().partition(" ")
            stage = "record and alias" if (sign, name) in _LAST else name
            if kill is not None and timer is None and stage == kill.stage:
                signs += 1
                if signs >= kill.nth:
                    timer = threading.Timer(kill.after, _kill, (child,))
                    timer.start()
        if timer is not None:
            timer.join()
            killed = not result.exists()
        if not result.exists():
            assert killed, f"a run ended without a word in {stage}"
            return Ended(stage, None, None)
        said = json.loads(result.read_text("utf-8"))
        return Ended(None, said.get("report"), said.get("error"))

    def _said(self) -> Any:
        assert self._process.stdout is not None
        return self._process.stdout


_LAST = {("finish", "check"), ("finish", "verify")}


def _kill(child: int) -> None:
    try:
        os.kill(child, signal.SIGKILL)
    except ProcessLookupError:
        return


def main() -> None:
    """Read requests, one JSON object a line; fork for each, and pass its signs on."""
    _import_everything()
    _sign("ready")
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(request)
        _sign(str(child))
        os.waitpid(child, 0)
        _sign("end")


def _import_everything() -> None:
    """Import what runs need, without starting any thread: zvec does, so it is not among them."""
    for name in (
        "flows.reindex_dataset",
        "tasks.encode.model.chinese_clip.encoder",
        "tasks.sparse.bm25",
    ):
        importlib.import_module(name)
    for name in ("tasks.store.dashvector.store", "torch"):
        importlib.import_module(name)
    sys.modules["torch"].set_num_threads(1)
    sys.modules["tasks.sparse.bm25"].tokenize("预热")  # reads its dictionary


def _sign(line: str) -> None:
    """A line in one piece, whatever other threads write and whenever this process is killed."""
    os.write(1, f"{line}\n".encode())


class _Signs:
    """Progress as lines on standard output."""

    def start(self, stage: str, total: int | None) -> None:
        _sign(f"start {stage}")

    def advance(self, stage: str, done: int) -> None:
        _sign(f"advance {stage}")

    def finish(self, stage: str, made: int | None) -> None:
        _sign(f"finish {stage}")


def _run(request: dict[str, Any]) -> None:
    """One run in this forked process, which ends here."""
    try:
        said = _answer(request)
    except BaseException:
        said = {"error": ["a bug", traceback.format_exc()]}
    partial = Path(request["result"] + ".new")
    partial.write_text(json.dumps(said), "utf-8")
    partial.rename(request["result"])
    os._exit(0)


def without_prefect() -> None:
    """Let the flows call the functions behind their tasks, with threads of our own.

    What is tested is what happens to files and documents, for which Prefect is a caller like any
    other, only a hundred times slower.
    """
    from prefect.utilities.annotations import quote

    from flows import index_dataset, reindex_dataset
    from tasks import prefect_tasks
    from tasks.index import operation as filling
    from tasks.index import stages as index_stages

    os.environ.pop("PREFECT_API_URL", None)  # aliases of the service lie in the work folder

    def plain(value: Any) -> Any:
        return value.unquote() if isinstance(value, quote) else value

    def once(task: Any, *arguments: Any) -> Any:
        return task.fn(*map(plain, arguments))

    def over(task: Any, carried: Any, items: Any, place: Any, stage: str, done: Any) -> list[Any]:
        def one(item: Any) -> Any:
            result = done(carried, item)
            return task.fn(carried, item) if result is None else result

        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(one, items))

    prefect_tasks.upsert.fn = index_stages.upsert  # without the quota that a server keeps
    for module in (filling, index_dataset, reindex_dataset):
        for name, replaced in (("run_once", once), ("run_over", over)):
            if hasattr(module, name):
                setattr(module, name, replaced)
        if hasattr(module, "create_markdown_artifact"):
            setattr(module, "create_markdown_artifact", lambda *_, **__: None)  # noqa: B010


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    from contextlib import nullcontext
    from dataclasses import asdict

    from tasks.store.open import _shared, close_shared_stores

    from flows.index_dataset import index_dataset
    from flows.reindex_dataset import reindex_dataset
    from tasks.errors import MugeError
    from tasks.work import progress
    from tests.servers.loopback import loopback_allowed

    os.environ.update(request.get("environment", {}))
    flows: dict[str, Any] = {"index": index_dataset, "reindex": reindex_dataset}
    flow = flows[request["flow"]]
    if not request["prefect"]:
        without_prefect()
        flow = flow.fn
    remote = request["given"]["store"] == "dashvector:"
    progress.watch(_Signs())
    with loopback_allowed() if remote else nullcontext():
        if remote:
            _shared["dashvector:"] = _quick_store()
        try:
            return {"report": asdict(flow(**request["given"]))}
        except MugeError as error:
            return {"error": [type(error).__name__, str(error)]}
        finally:
            close_shared_stores()


def _quick_store() -> Any:
    """The product's store with waits that suit a test."""
    from dataclasses import replace

    from pydantic import SecretStr

    from tasks.store.dashvector.store import DashVectorStore
    from tests.servers.fixtures import QUICK

    options = replace(QUICK, batch_documents=8)
    key, endpoint = os.environ["DASHVECTOR_API_KEY"], os.environ["DASHVECTOR_ENDPOINT"]
    return DashVectorStore(SecretStr(key), SecretStr(endpoint), options)


if __name__ == "__main__":
    main()
