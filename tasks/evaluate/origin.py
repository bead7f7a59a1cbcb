"""How to make the same numbers again: command, code, model and data."""

from __future__ import annotations

import platform
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tasks.encode.model.locate import full_name
from tasks.evaluate.judgements import Judgement
from tasks.records import ModelInfo
from tasks.settings import Settings, load_deploy_settings
from tasks.work.collections import CollectionRecord
from tasks.work.markers import fingerprint

SECONDS_FOR_GIT = 5.0


@dataclass(frozen=True, slots=True)
class Origin:
    """Everything that numbers depend on; fingerprints are 16 hex digits. `computed_in` are the
    number formats of the collection's vectors, `asked_in` that of the queries'."""

    commands: tuple[str, ...]
    version: str
    commit: str
    model: ModelInfo
    data: str
    queries: str
    bm25: str
    document: str
    machine: str
    computed_in: str = ""
    asked_in: str = ""


def origin_of(
    dataset: str,
    settings: Settings,
    options: Sequence[str],
    record: CollectionRecord,
    judgements: Sequence[Judgement],
    formats: tuple[str, str],
) -> Origin:
    """The origin of an evaluation; `options` are those of the command beyond the settings,
    `formats` the number formats of the collection's vectors and of the queries'."""
    return Origin(
        commands=(_index_command(record), _evaluate_command(dataset, settings, options)),
        version=_version(),
        commit=_commit(),
        model=record.model,
        data=record.data_fingerprint,
        queries=fingerprint_of(judgements),
        bm25=record.bm25,
        document=record.document,
        machine=f"Python {platform.python_version()}, {platform.machine()}",
        computed_in=formats[0],
        asked_in=formats[1],
    )


def fingerprint_of(judgements: Sequence[Judgement]) -> str:
    """What changes if a query, its right images or their grades do."""
    queries = [[j.query_id, j.text, sorted(j.relevant), *_grades_above_1(j)] for j in judgements]
    return fingerprint(queries=queries)


def _grades_above_1(judgement: Judgement) -> list[list[tuple[str, int]]]:
    high = sorted((id, grade) for id, grade in judgement.grades.items() if grade > 1)
    return [high] if high else []


def _index_command(record: CollectionRecord) -> str:
    return shlex.join(
        ["muge", "index", record.dataset, "--collection", record.collection]
        + ["--model", full_name(record.model), "--document", record.document]
        + (["--partition", record.partition] if record.partition != "default" else [])
    )


def _evaluate_command(dataset: str, settings: Settings, options: Sequence[str]) -> str:
    given = ["--collection", settings.collection, "--alpha", f"{settings.alpha:g}"]
    if settings.fusion != "weighted":
        given += ["--fusion", settings.fusion]
    return shlex.join(["muge", "evaluate", dataset, *given, *options])


def _version() -> str:
    try:
        return version("muge-search")
    except PackageNotFoundError:
        return "unknown"


def _commit() -> str:
    """The commit of this code, with "+" if files differ from it; where it is not a clone, that of
    the image, or ""."""
    try:
        _git("ls-files", "--error-unmatch", Path(__file__).name)  # some other project's clone?
        commit = _git("rev-parse", "HEAD")
        return commit + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return load_deploy_settings().commit


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS_FOR_GIT,
    )
    return done.stdout.strip()
