"""The house's rules that a reader relies on: arrows go one way, and only one room knows Prefect."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks import errors

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


def exceptions(module: Path) -> Iterator[str]:
    """The exception classes that a module defines, by their names and those of their bases."""
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.ClassDef):
            names = [node.name, *(ast.unparse(base) for base in node.bases)]
            if any(name.endswith(("Error", "Exception", "Warning")) for name in names):
                yield node.name


@pytest.mark.parametrize("room", ["tasks", "flows"])
def test_every_error_that_leaves_its_module_is_in_the_tree(room: str) -> None:
    tree = ROOT / "tasks" / "errors.py"
    elsewhere = [
        f"{module.relative_to(ROOT)}: {name}"
        for module in modules(room)
        if module != tree
        for name in exceptions(module)
        if not name.startswith("_")
    ]
    assert elsewhere == []


def test_the_tree_of_errors_has_one_root() -> None:
    classes = [getattr(errors, name) for name in exceptions(Path(errors.__file__))]
    assert len(classes) > 20
    assert all(issubclass(error, errors.MugeError) for error in classes)
