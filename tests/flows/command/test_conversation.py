"""`muge search --interactive`: lines of standard input, the model loaded once."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.flows.command.test_app import indexed

__all__ = ["indexed"]

COMMAND = [str(Path(sys.executable).with_name("muge")), "search", "--interactive"]


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MUGE_"))}
    return {**kept, "MUGE_LANGUAGE": "zh", **more}


def test_each_line_is_answered_and_a_wrong_one_changes_nothing(indexed: tuple[Path, Path]) -> None:
    lines = ["帽子", ":topk 2", ":alpha 7", ":filter price < 3", ":like nobody", ":nonsense"]
    lines += [
        ":topk many",
        "",
        ":alpha 0.5",
        "手机",
        ":like 3",
        ":like",
        "：TopK\t3",
        ":topk",
        ":alpha",
    ]
    done = subprocess.run(
        [*COMMAND, "--json"],
        input="\n".join(lines),
        cwd=indexed[0],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    asked = [answer["query"] for answer in answers]
    assert [query["text"] for query in asked] == [*["帽子"] * 3, *["手机"] * 6]
    assert [query["topk"] for query in asked] == [10, *[2] * 5, 3, 10, 10]
    assert [query["alpha"] for query in asked] == [0.8, 0.8, *[0.5] * 6, 0.8]
    assert [query.get("like") for query in asked] == [*[None] * 4, "3", *[None] * 4]
    assert len(answers[5]["hits"]) == 2
    said = [line for line in done.stderr.splitlines() if line.startswith("muge: ")]
    wanted = [
        "alpha 是 7.0，",
        "里的字段 'price' 在文档里没有",
        "'nobody'",
        "没有 :nonsense（有的是：",
        ":topk 是 'many'，应是数",
    ]
    assert len(said) == len(wanted)
    assert all(part in line for part, line in zip(wanted, said, strict=True))


@pytest.mark.thorough
def test_at_a_terminal_there_is_a_prompt(indexed: tuple[Path, Path]) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        COMMAND,
        cwd=indexed[0],
        env=environment(TERM="xterm"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        read_until(ours, "搜索> ")
        os.write(ours, "帽子\n".encode())
        assert "语义" in read_until(ours, "搜索> ")
        os.write(ours, b"\x04")
        assert process.wait(30) == 0
    os.close(ours)


def read_until(terminal: int, wanted: str) -> str:
    seen, end = b"", time.monotonic() + 60
    while wanted.encode() not in seen:
        assert time.monotonic() < end, seen.decode("utf-8", "replace")
        seen += os.read(terminal, 4096)
    return seen.decode("utf-8", "replace")
