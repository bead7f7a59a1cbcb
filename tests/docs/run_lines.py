"""Many command lines in one process: what each `muge` prints and how it ends, as JSON.

Starting Python, torch and Prefect anew for each line would take most of the time. Standard input
has a JSON list of lists of words (`>` and a file as the last two send its output there); lines of
other commands than `muge` are run as they are.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import deployments.app  # noqa: F401  (adds its commands to the app)
from flows.command.app import app


def run_line(words: list[str]) -> dict[str, object]:
    """Run one line as the shell would."""
    if words[0] != "muge":
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return {"code": done.returncode, "out": done.stdout, "err": done.stderr}
    arguments, target = words[1:], None
    if arguments[-2:-1] == [">"]:
        arguments, target = arguments[:-2], Path(arguments[-1])
    out, err, code = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            app(args=arguments, prog_name="muge")
        except SystemExit as end:
            code = int(end.code or 0)
    if target is not None:
        target.write_text(out.getvalue(), encoding="utf-8")
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


def main() -> None:
    """Run the lines, and stop after one that fails."""
    done: list[dict[str, object]] = []
    for words in json.load(sys.stdin):
        done.append(run_line(words))
        if done[-1]["code"]:
            break
    json.dump(done, sys.stdout)


if __name__ == "__main__":
    main()
