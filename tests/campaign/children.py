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

RETRY_SECONDS = (0.01, 0.05)
"""Pauses before a stage that may pass is tried again, in threads and as tasks."""


@dataclass(frozen=True, slots=True)
class Kill:
    """When to kill: at the `nth` sign of a stage (its start, each advance, its end), `after`
    seconds later."""

    stage: str
    nth: int
    after: float


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: `killed_in` is the stage it was in, `report` what the run returned, `error`
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
        """Reindex to the end, or until it is killed: with `prefect` in the request as a flow run,
        else the plain operation; with `retries` stages that may pass are tried again."""
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


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    from contextlib import nullcontext
    from dataclasses import asdict

    from tasks.errors import MugeError
    from tests.servers.loopback import loopback_allowed

    os.environ.update(request.get("environment", {}))
    run = _as_flow if request["prefect"] else _plainly
    pauses = RETRY_SECONDS if request["retries"] else ()
    remote = request["given"]["store"] == "dashvector:"
    if remote:
        _hurry_store()
    with loopback_allowed() if remote else nullcontext():
        try:
            return {"report": asdict(run(request["given"], pauses))}
        except MugeError as error:
            return {"error": [type(error).__name__, str(error)]}


def _plainly(given: dict[str, Any], pauses: tuple[float, ...]) -> Any:
    """A reindex by the operation itself, its stages in threads."""
    from tasks.context import Context
    from tasks.index.runner import Threads
    from tasks.reindex.operation import reindex
    from tasks.settings import ReindexChoices, load_settings

    options = {name: value for name, value in given.items() if name not in ("dataset", "strategy")}
    choices = ReindexChoices(strategy=given["strategy"])
    with Context(progress=_Signs()) as context:
        runner = Threads(context, pauses)
        return reindex(given["dataset"], load_settings(**options), runner, choices)


def _as_flow(given: dict[str, Any], pauses: tuple[float, ...]) -> Any:
    """A reindex as a flow run on the Prefect server, its stages as tasks."""
    from flows.orchestration.context import showing
    from flows.reindex_dataset import reindex_dataset
    from tasks.prefect_tasks import TASKS

    for task in TASKS.values():
        task.retries, task.retry_delay_seconds = len(pauses), list(pauses)
    with showing(_Signs()):
        return reindex_dataset(**given)


def _hurry_store() -> None:
    """Let `dashvector:` open the product's store with waits that suit a test."""
    from dataclasses import replace

    from tasks.settings import DashVectorSettings
    from tasks.store.dashvector.store import DashVectorStore
    from tasks.store.stores import STORES, StoreAccess
    from tests.servers.fixtures import QUICK

    class QuickStore(DashVectorStore):
        @classmethod
        def open(cls, place: str, access: StoreAccess) -> DashVectorStore:
            options = replace(QUICK, batch_documents=8, slot=access.write_slot)
            return cls.from_settings(DashVectorSettings(), options)

    STORES["dashvector"] = replace(STORES["dashvector"], opens=QuickStore)


if __name__ == "__main__":
    main()
