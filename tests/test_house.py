"""The house's rules that a reader relies on: arrows go one way, and only one room knows Prefect."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def modules(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imported(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("module", modules("tasks"), ids=lambda path: str(path.relative_to(ROOT)))
def test_tasks_know_neither_flows_nor_prefect(module: Path) -> None:
    rooms = {name.split(".")[0] for name in imported(module)}
    assert not rooms & {"flows", "deployments", "tests"}
    assert "prefect" not in rooms or module.name == "prefect_tasks.py"


@pytest.mark.parametrize("room", ["tasks", "flows"])
def test_every_module_says_its_job(room: str) -> None:
    silent = [
        str(m) for m in modules(room) if not ast.get_docstring(ast.parse(m.read_text("utf-8")))
    ]
    assert silent == []
