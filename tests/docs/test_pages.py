"""What the documents name is there: pages, places, commands, options, variables, modules, files."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.docs.commands import check_line
from tests.docs.options import variables, variables_of_commands
from tests.docs.pages import (
    DOCS,
    ROOT,
    Page,
    anchor,
    both_languages,
    every_page,
    read_page,
    target_of,
)

PAGES = every_page()
LANGUAGES = both_languages()
OF_OTHERS = {
    "ALL_PROXY",
    "AWS_ACCESS_KEY_ID",
    "AWS_ENDPOINT_URL",
    "AWS_SECRET_ACCESS_KEY",
    "FSSPEC_OSS_KEY",
    "FSSPEC_OSS_SECRET",
    "FSSPEC_S3_CONFIG_KWARGS",
    "FSSPEC_S3_ENDPOINT_URL",
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_OFFLINE",
    "HF_TOKEN",
    "HTTPS_PROXY",
    "IMAGE_BUILD",
    "HTTP_PROXY",
    "MODELSCOPE_CACHE",
    "NO_PROXY",
    "MUGE_PYTHONS",
    "OMP_NUM_THREADS",
    "OSS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_SDK_DISABLED",
    "OTEL_SERVICE_NAME",
    "OTEL_TRACES_SAMPLER",
    "POSTGRES_PASSWORD",
    "PREFECT_API_URL",
    "PREFECT_AUTH",
    "PREFECT_API_AUTH_STRING",
    "PREFECT_CLIENT_MAX_RETRIES",
    "PREFECT_SERVER_API_AUTH_STRING",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE",
    "PREFECT_ENCRYPTION_KEY",
    "PREFECT_SERVER_ENCRYPTION_KEY",
    "PREFECT_SERVER_EVENTS_RETENTION_PERIOD",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD",
    "PREFECT_WORKER_WEBSERVER_HOST",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "SSL_CERT_FILE",
    "RAY_ADDRESS",
    "RAY_AUTH_MODE",
    "RAY_AUTH_TOKEN_PATH",
    "TORCH_INDEX",
    "WORKER_GPU_MEMORY",
}
"""Variables that other programs read."""

_VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b(?!\.tsv|_|<|\*)")
_FAMILY = re.compile(r"\b([A-Z]+(?:_[A-Z]+)*_)(?=\*|<)")
_MODULE = re.compile(r"python -m ((?:tests|tasks|flows|deployments)[\w.]*)")
_IMPORT = re.compile(r"(?:from|import) ((?:tests|tasks|flows|deployments)[\w.]*)")
_FILE = re.compile(r"(?<![\w./-])((?:tasks|flows|deployments|tests|\.ci)/[\w./-]*)")
_MENTION = re.compile(r"[\[\]…]|\.\.\.")

of_each_page = pytest.mark.parametrize("page", PAGES, ids=str)


@of_each_page
def test_links_lead_somewhere(page: Page) -> None:
    broken = []
    for link in page.links:
        if link.startswith(("https://", "http://")):
            continue
        path, place = target_of(page, link)
        if not path.exists() or (place and place not in read_page(path).anchors):
            broken.append(link)
    assert broken == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    chinese, english = LANGUAGES[0]
    for language, page in (("zh", chinese), ("en", english)):
        linked = {target_of(page, link)[0] for link in page.links}
        assert set((DOCS / language).glob("*.md")) <= linked


def test_headings_are_named_as_code_hosts_name_them() -> None:
    assert anchor("对象存储（s3://、oss://）") == "对象存储s3oss"
    assert anchor("Object storage (s3://, oss://)") == "object-storage-s3-oss"
    assert anchor("编码：精度、设备、批次与断点") == "编码精度设备批次与断点"
    assert anchor("The `muge` command") == "the-muge-command"


@pytest.mark.parametrize(("chinese", "english"), LANGUAGES, ids=lambda page: str(page))
def test_both_languages_have_the_same_blocks(chinese: Page, english: Page) -> None:
    def told(page: Page) -> list[object]:
        return [b.commands if b.language == "bash" else b.text for b in page.blocks]

    assert told(english) == told(chinese)


@pytest.mark.parametrize(("chinese", "english"), LANGUAGES[1:], ids=lambda page: str(page))
def test_both_languages_name_the_same_options_and_variables(chinese: Page, english: Page) -> None:
    def named(page: Page) -> set[str]:
        return {*_VARIABLE.findall(page.text), *re.findall(r"(?<![\w-])--[a-z][\w-]*", page.text)}

    assert named(english) == named(chinese)


@of_each_page
def test_every_block_is_run_or_says_why_not(page: Page) -> None:
    for block in page.blocks:
        if block.language == "bash" and not (block.not_run or block.is_slow):
            strange = [command for command in block.commands if command[0] != "muge"]
            assert strange == [], "tests run only muge: mark the block `<!-- not run: reason -->`"
        if block.language not in ("bash", "json"):
            assert block.not_run or "python example" in block.comments
        assert not (block.not_run and block.is_slow)


@of_each_page
def test_commands_are_understood(page: Page) -> None:
    assert [wrong for words in muge_lines(page) if (wrong := refusal(tuple(words)))] == []


@cache
def refusal(words: tuple[str, ...]) -> str:
    """What is wrong with a command; "" if it is understood."""
    try:
        check_line(words)
    except Exception as error:
        return f"muge {' '.join(words)}: {error}"
    return ""


def muge_lines(page: Page) -> Iterator[list[str]]:
    """The words after `muge` of all that is run or named: blocks, chained and wrapped commands."""
    for block in page.blocks:
        for command in block.commands if block.language == "bash" else ():
            for number, word in enumerate(command):
                if word.rpartition("/")[2] == "muge":
                    end = command.index(">") if ">" in command else len(command)
                    yield command[number + 1 : end]
                    break
    for code in page.inline_code:
        if code.startswith("muge ") and not _MENTION.search(code):
            yield code.split()[1:]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nothing", "no command"),
        ("alias nothing", "no command"),
        ("search --no-such-option 3", "No such option"),
        ("index sample: --document page", "page"),
        ("search --text a --topk many", "integer"),
        ("index --json", "dataset"),
    ],
)
def test_wrong_commands_are_noticed(line: str, said: str) -> None:
    with pytest.raises(Exception, match=said):
        check_line(line.split())


@of_each_page
def test_variables_are_options_or_known(page: Page) -> None:
    known = variables() | variables_of_commands() | OF_OTHERS
    assert set(_VARIABLE.findall(page.text)) - known == set()
    for family in _FAMILY.findall(page.text):
        assert any(name.startswith(family) for name in known), family


def test_known_variables_are_named() -> None:
    text = "".join(page.text for page in PAGES)
    assert {name for name in OF_OTHERS if name not in text} == set()


@of_each_page
def test_modules_and_files_are_there(page: Page) -> None:
    for name in {*_MODULE.findall(page.text), *_IMPORT.findall(page.text)}:
        assert importlib.util.find_spec(name) is not None, name
    named = {place.rstrip(".") for place in _FILE.findall(page.text)}
    assert {place for place in named if not (ROOT / place).exists()} == set()


def test_every_benchmark_is_named() -> None:
    page = read_page(DOCS / "zh" / "development.md")
    named = {name.rpartition(".")[2] for name in _MODULE.findall(page.text)}
    there = {
        path.stem
        for path in (ROOT / "tests" / "benchmarks").glob("*.py")
        if '__name__ == "__main__"' in path.read_text("utf-8")
    }
    assert there - named == set()


def test_deployments_are_those_of_the_definitions() -> None:
    definitions = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text("utf-8"))
    there = {
        f"{each['entrypoint'].rpartition('.')[2]}/{each['name']}"
        for each in definitions["deployments"]
    }
    for language in ("zh", "en"):
        page = read_page(DOCS / language / "production.md")
        flows = r"\b((?:index|reindex|evaluate|search|prune)_\w+/\w+)"
        assert set(re.findall(flows, page.text)) == there


def test_the_picture_is_small() -> None:
    assert 0 < Path(DOCS / "search.webp").stat().st_size < 150_000
