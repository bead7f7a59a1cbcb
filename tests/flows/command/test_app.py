"""The command, as a person types it: exit codes, one-line errors, JSON, and silence on success."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from PIL import Image

from tasks.encode.model.accelerators import is_without_accelerator
from tasks.store.stores import open_store
from tests.flows.conftest import Muge, run_muge
from tests.forked import ForkedMuge
from tests.shop import make_pictures

ALONE = ("--orchestrator", "none")


@pytest.fixture(scope="module")
def indexed(
    tmp_path_factory: pytest.TempPathFactory, model: str, forked: ForkedMuge
) -> tuple[Path, Path]:
    """A folder with `.muge/` of 12 indexed pictures, and the pictures."""
    place = tmp_path_factory.mktemp("indexed")
    pictures = make_pictures(place / "pictures", 12)
    arguments = ["index", f"folder:{pictures}", "--model", model, "--json", *ALONE]
    done = run_muge(forked, arguments, place, {})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["documents"] == 12
    return place, pictures


def test_help_is_light() -> None:
    check = (
        "import sys; sys.argv = ['muge', '--help']\n"
        "import atexit; heavy = ('torch', 'prefect', 'dashtext', 'zvec', 'pyarrow')\n"
        "atexit.register(lambda: print([m for m in heavy if m in sys.modules]))\n"
        "from flows.command.app import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0
    assert "evaluate" in done.stdout
    assert done.stdout.rstrip().endswith("[]")


def test_search_prints_one_json_object(indexed: tuple[Path, Path], muge: Muge) -> None:
    place, pictures = indexed
    picture = str(pictures / "4.png")
    done = muge("search", "--image", picture, "--text", "红色", "--json", "--topk", "3", cwd=place)

    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert set(said) == {"query", "hits", "took_ms"}
    assert said["query"]["alpha"] == 0.8
    assert len(said["hits"]) == 3
    for hit in said["hits"]:
        assert hit["dense"] + hit["sparse"] == pytest.approx(hit["score"], abs=1e-9)
    assert set(said["took_ms"]) == {"model", "store", "total"}
    assert base64.b64decode(said["hits"][0]["fields"]["picture"])[:2] == b"\xff\xd8"


def test_search_needs_no_prefect_and_characters_no_segmenter(indexed: tuple[Path, Path]) -> None:
    check = (
        "import sys; sys.argv = ['muge', 'search', '--text', '帽子', '--alpha', '0']\n"
        "import atexit; atexit.register(lambda: print('prefect' in sys.modules, "
        "'torch' in sys.modules, 'dashtext' in sys.modules))\n"
        "from flows.command.app import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=indexed[0], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("False False False")
    assert "蓝色帽子" in done.stdout


@pytest.mark.skipif(not is_without_accelerator(), reason="torch alone knows a GPU")
def test_a_text_is_searched_without_torch_and_finds_the_same(
    indexed: tuple[Path, Path], muge: Muge
) -> None:
    arguments = ["search", "红色帽子", "--alpha", "0.5", "--json"]
    check = (
        f"import sys; sys.argv = {['muge', *arguments]!r}\n"
        "import atexit; heavy = ('torch', 'prefect', 'pyarrow.compute')\n"
        "atexit.register(lambda: print([m for m in heavy if m in sys.modules], file=sys.stderr))\n"
        "from flows.command.app import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=indexed[0], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr.splitlines()[-1:]) == (0, ["[]"]), done.stderr
    ours = json.loads(done.stdout)["hits"]
    right = json.loads(muge(*arguments, cwd=indexed[0]).stdout)["hits"]  # that has torch already
    assert [hit["id"] for hit in ours] == [hit["id"] for hit in right]
    for one, other in zip(ours, right, strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=5e-6)


def test_search_writes_a_page(indexed: tuple[Path, Path], muge: Muge, tmp_path: Path) -> None:
    page = tmp_path / "hits.html"
    done = muge("search", "--text", "白色球鞋", "--html", str(page), cwd=indexed[0])
    assert done.returncode == 0
    assert "data:image/jpeg;base64," in page.read_text("utf-8")


def test_filter_and_topk(indexed: tuple[Path, Path], muge: Muge) -> None:
    done = muge("search", "--text", "帽子", "--filter", "image_id >= 6", "--json", cwd=indexed[0])
    assert sorted(int(hit["id"]) for hit in json.loads(done.stdout)["hits"]) == [*range(6, 12)]


def test_status(indexed: tuple[Path, Path], muge: Muge) -> None:
    said = json.loads(muge("status", "--json", cwd=indexed[0]).stdout)
    (found,) = said["collections"]
    assert (found["collection"], found["status"], found["documents"]) == ("muge", "ready", 12)
    assert muge("status").stdout.rstrip().endswith("Start with: muge index sample:")


SEARCHES: dict[str, tuple[list[str], str]] = {
    "nothing": ([], "give a text, a picture or both"),
    "empty": (["--text", ""], "no text"),
    "spaces": (["--text", " \t "], "no text"),
    "stop words by keyword": (["--text", "的", "--alpha", "0"], "no keyword"),
    "alpha": (["--text", "a", "--alpha", "1.5"], "alpha"),
    "topk": (["--text", "a", "--topk", "0"], "topk"),
    "topk too large": (["--text", "a", "--topk", "2000"], "topk"),
    "bad filter": (["--text", "a", "--filter", "no_such_field = 3"], "no_such_field"),
    "broken filter": (["--text", "a", "--filter", "image_id >>> 3"], "image_id >>> 3"),
    "missing picture": (["--image", "/no/such.jpg"], "/no/such.jpg"),
    "folder as picture": (["--image", "/"], "is not a file"),
    "no host": (["--image", "http://127.0.0.1:1/x.jpg"], "cannot be fetched"),
    "collection": (["--text", "a", "--collection", "other"], "no record"),
    "collection name": (["--text", "a", "--collection", "../x"], "not allowed"),
    "store": (["--text", "a", "--store", "redis:x"], "zvec:DIR"),
    "model": (["--text", "a", "--model", "sample"], "made with model"),
    "device": (["--text", "a", "--device", "tpu"], "tpu"),
}


@pytest.mark.parametrize("case", SEARCHES)
def test_bad_searches_say_one_line(case: str, indexed: tuple[Path, Path], muge: Muge) -> None:
    arguments, said = SEARCHES[case]
    done = muge("search", *arguments, cwd=indexed[0])
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_lone_surrogate_in_an_argument(indexed: tuple[Path, Path]) -> None:
    command = [
        sys.executable,
        "-c",
        "from flows.command.app import main; main()",
        "search",
        "--text",
    ]
    done = subprocess.run(
        [*map(os.fsencode, command), b"\xff\xfe"], cwd=indexed[0], capture_output=True
    )
    assert done.returncode == 2
    assert b"surrogate" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["🐼", "很" * 10_000, "a\u200bb", "'; drop table x; --", "%s{}"])
def test_odd_but_good_texts(text: str, indexed: tuple[Path, Path], muge: Muge) -> None:
    done = muge("search", "--text", text, "--json", cwd=indexed[0])
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["hits"]) == 10


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ("folder:/no/such/folder", "not there"),
        ("parquet:/no/such.parquet", "no .parquet file"),
        ("nonsense", "is not one of"),
        ("s3nonsense:x", "is not one of"),
        ("sample:?split=other", "no split"),
        ("sample:?size=3", "unknown option"),
        ("folder:", "names no path"),
    ],
)
def test_bad_data_sets_say_one_line_at_once(dataset: str, said: str, muge: Muge) -> None:
    done = muge("index", dataset)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_bad_models_say_one_line(muge: Muge, model: str, tmp_path: Path) -> None:
    assert muge("index", "sample:", "--model", "/no/such/model").returncode == 2
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in Path(model).iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "vision_model_config.json").write_text("{")
    done = muge("index", "sample:", "--model", str(broken))
    assert done.returncode == 2
    assert "vision_model_config.json" in done.stderr


def test_empty_folder(muge: Muge, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = muge("index", f"folder:{tmp_path / 'empty'}")
    assert done.returncode == 2
    assert "holds no picture" in done.stderr


def test_rejects_end_with_exit_code_3(muge: Muge, model: str, tmp_path: Path) -> None:
    pictures = make_pictures(tmp_path / "p", 4)
    (pictures / "bad.jpg").write_bytes(b"nothing")
    with Image.new("L", (20_000, 20_000)) as bomb:
        bomb.save(pictures / "bomb.png")
    done = muge("index", f"folder:{pictures}", "--model", model, *ALONE)
    assert done.returncode == 3, done.stderr
    assert "2 rejects: " in done.stderr
    place = done.stderr.split("2 rejects: ")[1].strip()
    assert list((tmp_path / "here" / place).glob("*.parquet"))


def test_a_held_store_is_said(muge: Muge, model: str, tmp_path: Path) -> None:
    pictures = make_pictures(tmp_path / "p", 4)
    store = f"zvec:{tmp_path / 'store'}"
    arguments = ["index", f"folder:{pictures}", "--model", model, "--store", store, *ALONE]
    assert muge(*arguments).returncode == 0
    holder = open_store(store)
    holder.delete("muge", ["0"])
    try:
        done = muge(*arguments)
        assert done.returncode == 1
        assert "another process" in done.stderr
    finally:
        holder.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["search", "熊猫", "--text", "猫"], "'熊猫' and --text '猫': give one text"),
        (["search", "熊猫", "--collection", "mug"], "(did you mean 'muge'?)"),
        (["search", "熊猫", "--collection", "shoes"], "(there are: muge)"),
        (["reindex", "sample:", "--collection", "mug"], "no collection 'mug' to bring up to date"),
        (["evaluate", "sample:", "--nosuch"], "No such option: --nosuch"),
        (["index", "sample:", "--picture", "foo"], "'--picture': 'foo' is not one of 'jpeg'"),
        (["index"], "Missing argument 'dataset'"),
        (["indexx"], "No such command 'indexx'"),
    ],
)
def test_what_was_mistyped_is_one_line(
    arguments: list[str], said: str, indexed: tuple[Path, Path], muge: Muge
) -> None:
    done = muge(*arguments, cwd=indexed[0])
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.startswith("muge: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_text_may_be_asked_for_at_once(indexed: tuple[Path, Path], muge: Muge) -> None:
    by_argument, by_option = (
        json.loads(muge("search", *words, "--json", cwd=indexed[0]).stdout)
        for words in (["红色"], ["--text", "红色"])
    )
    assert by_argument["hits"] == by_option["hits"]
    assert by_argument["query"] == by_option["query"]
    shown = muge("search", "红色", cwd=indexed[0]).stdout
    parts = r"(\d+\.\d) s: starting (\d+\.\d) s, model (\d+) ms, store (\d+) ms\n"
    said = re.fullmatch(parts, shown.splitlines(keepends=True)[-1])
    assert said is not None
    waited, starting, model, store = map(float, said.groups())
    assert waited == pytest.approx(starting + (model + store) / 1000, abs=0.11)


def test_a_folder_without_its_form_is_meant(indexed: tuple[Path, Path], muge: Muge) -> None:
    done = muge("index", "pictures", cwd=indexed[0])
    assert done.returncode == 2
    assert done.stderr.endswith("; a folder of pictures is folder:pictures\n")


COMPLETED = {
    "muge rein": "reindex",
    "muge search --text-": "--text-weight",
    "muge evaluate --base": "--baseline",
}


@pytest.mark.gate("muge search --text-")
@pytest.mark.parametrize("begun", COMPLETED)
def test_shells_complete_commands_and_options(begun: str) -> None:
    count = str(len(begun.split()) - 1)
    asked = {"_MUGE_COMPLETE": "complete_bash", "COMP_WORDS": begun, "COMP_CWORD": count}
    command = Path(sys.executable).with_name("muge")  # how it is called names the variable
    done = subprocess.run([command], env={**os.environ, **asked}, capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == ([COMPLETED[begun]], "")


def test_version_and_short_help(muge: Muge) -> None:
    assert muge("--version").stdout == f"muge-search {version('muge-search')}\n"
    assert muge("search", "-h").stdout == muge("search", "--help").stdout != ""


def test_wrong_environment_is_said(muge: Muge) -> None:
    done = muge("status", environment={"MUGE_TOPK": "many"})
    assert done.returncode == 2
    assert "MUGE_TOPK" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_terminated_runs_leave_no_server_and_go_on(muge: Muge, model: str, tmp_path: Path) -> None:
    """SIGTERM ends the temporary server as well, and the next run does what is missing."""
    pictures = make_pictures(tmp_path / "p", 300)
    arguments = ["index", f"folder:{pictures}", "--model", model, "--shard-images", "20", "--json"]
    here = tmp_path / "here"
    command = [sys.executable, "-c", "from flows.command.app import main; main()", *arguments]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MUGE_"))}
    running = subprocess.Popen(
        command, cwd=here, env={**kept, "HOME": str(here)}, stderr=subprocess.PIPE, text=True
    )
    assert running.stderr is not None
    seen = iter(running.stderr)
    while "reading the data set" not in next(seen):
        pass
    while not list((here / ".muge" / "work").rglob("images-*/part-0000*.done")):
        assert running.poll() is None
        time.sleep(0.02)
    running.terminate()
    # the pipe closes only when the server that inherited it has ended too
    rest = "".join(seen)
    running.stderr.close()
    assert running.wait(60) == 130, rest
    assert "Traceback" not in rest
    said = json.loads(muge(*arguments, *ALONE).stdout)
    assert said["documents"] == 300
    assert said["encoded_images"] < 300
