"""What flows print while a command runs: never part of its answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

NOISY = """
import ctypes, os, subprocess
from flows.command.output import print_json
from flows.command.running import How, run
from tasks.settings import load_settings
def noisy(runner):
    os.write(1, b"native\\n")
    ctypes.CDLL(None).printf(b"kept by the C library until the end\\n")
    subprocess.run(["sh", "-c", "echo a child"])
    print("python")
    return subprocess.Popen(["sh", "-c", "read line; echo a late child"], stdin=subprocess.PIPE)
late = run(load_settings(), How("none", verbose=False), noisy, None)
print_json({"answer": "图"})
late.communicate(b"now\\n")
"""


def test_the_answer_alone_is_on_standard_output(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NOISY],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path.cwd()), "PREFECT_API_URL": "http://127.0.0.1:9/api"},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"answer": "图"}
    for said in ("native", "kept by the C library", "a child", "a late child", "python"):
        assert said in done.stderr
