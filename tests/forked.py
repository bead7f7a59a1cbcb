"""The command `muge` in processes that are forked from one that has everything imported.

A command starts in some milliseconds instead of seconds, and ends as a process of its own does: its
exit code, its output and what it leaves on the disk are those of the command. What a test says of
signals, of a light start or of what is imported needs a real start.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.orchestration.environment import QUIET

IMPORTED = (
    "deployments.app",
    "deployments.command",
    "deployments.production.deploy",
    "deployments.production.server",
    "flows.evaluate_search",
    "flows.reindex_dataset",
    "flows.run_demo",
    "flows.search_images",
    "flows.command.bars",
    "flows.command.measured",
    "tasks.dataset.folder",
    "tasks.dataset.table.parquet",
    "tasks.encode.model.card",
    "tasks.index.status",
    "tasks.inspect.dataset",
    "tasks.reindex.rejected",
    "tasks.report.inspection",
    "tasks.report.search_page",
    "tasks.store.dashvector.store",
    "torch",
)
"""Without zvec, which starts threads: what is forked must have none."""


class ForkedMuge:
    """The process that forks; use as a context manager."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.forked"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._line() == "ready"

    def __enter__(self) -> ForkedMuge:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def run(
        self, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        assert self._process.stdin is not None
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder) / "out", Path(folder) / "err"
            request = {
                "arguments": list(arguments),
                "cwd": str(cwd),
                "environment": dict(environment),
                "out": str(out),
                "err": str(err),
            }
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            code = int(self._line())
            texts = [path.read_text("utf-8", "replace") for path in (out, err)]
        return subprocess.CompletedProcess(["muge", *arguments], code, *texts)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode().strip()


def main() -> None:
    """Read requests, one JSON object a line; fork for each, and say how it ended."""
    os.environ.update(QUIET)  # Prefect sets its loggers up when it is imported
    for name in IMPORTED:
        importlib.import_module(name)
    sys.modules["torch"].set_num_threads(1)
    importlib.import_module("tasks.sparse.tokens").tokenize("预热")  # reads its dictionary
    gc.collect()
    gc.freeze()  # children that looked through all of this would copy it
    os.write(1, b"ready\n")
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(request)
        _, status = os.waitpid(child, 0)
        os.write(1, f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _become(request: dict[str, Any]) -> None:
    """Be the command from here on; ends as a process that was started for it."""
    signal.alarm(300)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.stdout.flush()
    for number, name in ((1, "out"), (2, "err")):
        handle = os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, number)
        os.close(handle)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.argv = ["muge", *request["arguments"]]
    code: object = 0
    try:
        sys.modules["deployments.command"].main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    # what an interpreter does at its end, but for taking everything apart that is shared
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    main()
