"""The machine as it is: streams, homes and folders that are not what a program expects."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from flows.command import surroundings
from tests.flows.conftest import Muge, run_muge
from tests.forked import ForkedMuge
from tests.shop import make_pictures

MUGE = f"{sys.executable} -c 'from flows.command.app import main; main()'"
ROOT = Path(__file__).parents[3]
ALONE = ("--orchestrator", "none")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, model: str, forked: ForkedMuge) -> Path:
    """A folder with `.muge/` and a few indexed pictures."""
    place = tmp_path_factory.mktemp("place")
    make_pictures(place / "图片", 4)
    done = run_muge(forked, ["index", "folder:图片", "--model", model, *ALONE], place, {})
    assert done.returncode == 0, done.stderr
    return place


def shell(
    line: str, place: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A line of a shell in which $MUGE is the command, started as a person does."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MUGE_"))}
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=place,
        env={**kept, "MUGE": MUGE, "PYTHONPATH": str(ROOT), **(environment or {})},
        capture_output=True,
        text=True,
    )
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    assert "Exception ignored" not in said, said
    assert "unexpected" not in said, said
    return done


@pytest.mark.thorough
def test_a_stream_that_lacks_characters_gets_their_escapes(place: Path) -> None:
    done = shell("eval $MUGE status --json", place, {"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert "图片" in str(json.loads(done.stdout))
    assert done.stdout.isascii()
    done = shell("eval $MUGE status", place, {"PYTHONIOENCODING": "latin-1"})
    assert (done.returncode, "\\u56fe\\u7247" in done.stdout) == (0, True)


@pytest.mark.thorough
@pytest.mark.parametrize("what", [pytest.param("status", marks=pytest.mark.slow), "--version"])
def test_an_answer_that_nobody_takes(what: str, place: Path) -> None:
    done = shell(f"eval $MUGE {what} >/dev/full", place)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "No space left on device; make room" in done.stderr
    done = shell(f"set -o pipefail; eval $MUGE {what} | true; exit 0", place)
    assert done.stderr == ""


@pytest.mark.slow
def test_closed_streams_are_no_files_of_ours(place: Path, model: str) -> None:
    arguments = f"index folder:图片 --model {model} --collection closed --orchestrator none"
    done = shell(f"eval $MUGE {arguments} <&- >&- 2>&-", place)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = shell("eval $MUGE status --json", place)
    assert "closed" in done.stdout


def test_a_folder_that_is_gone(place: Path) -> None:
    (place / "gone").mkdir(exist_ok=True)
    done = shell("cd gone && rmdir ../gone && eval $MUGE status", place)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "change to one that is there" in done.stderr


def test_a_user_without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system knows nobody of this number, as in a container with a user of its own."""
    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr("pwd.getpwuid", _nobody)
    monkeypatch.setattr("pwd.getpwnam", _nobody)
    monkeypatch.chdir(tmp_path)
    surroundings.settle_in()
    assert Path.home() == tmp_path / ".muge" / "home"
    assert os.environ["USER"] == f"uid-{os.getuid()}"
    assert not (tmp_path / ".muge").exists()


def _nobody(*_: object) -> None:
    raise KeyError("uid not found")


def test_a_home_that_is_not_there(muge: Muge, model: str, place: Path) -> None:
    for environment in ({"HOME": "/nonexistent"}, {"HOME": ""}):
        arguments = ("index", f"folder:{place / '图片'}", "--model", model, *ALONE)
        done = muge(*arguments, environment=environment)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [("status",), ("search", "--text", "红色"), ("index", "p")])
def test_a_file_in_the_place_of_a_folder(arguments: tuple[str, ...], muge: Muge) -> None:
    done = muge(*arguments, environment={"MUGE_HOME": "/dev/null"})
    assert "unexpected" not in done.stderr
    assert done.stderr.count("\n") <= 1, done.stderr


@pytest.mark.gate("environment1", "environment4")
@pytest.mark.parametrize(
    "environment",
    [
        {"TMPDIR": "/nonexistent"},
        {"LC_ALL": "C", "LANG": "C"},
        {"NO_COLOR": "1", "TERM": "dumb"},
        {"COLUMNS": "0"},
        {"COLUMNS": "many"},
        {"TZ": "Nowhere/Else"},
    ],
)
def test_odd_environments(environment: dict[str, str], muge: Muge, place: Path) -> None:
    done = muge("search", "--text", "红色", environment=environment, cwd=place)
    assert (done.returncode, "红色" in done.stdout) == (0, True), done.stderr


def test_what_the_system_refuses_is_one_line() -> None:
    for error, said in (
        (OSError(24, "Too many open files", "a"), "a: Too many open files; allow more open files"),
        (
            OSError(30, "Read-only file system", "b"),
            "b: Read-only file system; allow that, or name",
        ),
        (OSError("no reason"), "no reason; mend that"),
    ):
        assert surroundings.refused_by_system(error).startswith(said)
