"""Aliases of DashVector in Variables of a real Prefect server: one for all machines of a team."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from prefect.variables import Variable

from flows.orchestration.context import caller_context
from flows.orchestration.temporary_server import TEMPORARY
from flows.orchestration.variables import VariableBook
from flows.reindex_dataset import reindex_dataset
from flows.search_images import search_images
from tasks.errors import AliasDoubtError, StoreError
from tasks.reindex.blue_green import adopt, move_alias
from tasks.settings import load_settings
from tests.servers.dashvector import DashVectorServer


@pytest.fixture
def answering() -> Iterator[str]:
    """Something that answers at once, whatever it is asked."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/api"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.thorough
@pytest.mark.usefixtures("flows_run")
def test_searches_follow_the_variable(
    dashvector_server: DashVectorServer,
    prefect_server: str,
    monkeypatch: pytest.MonkeyPatch,
    pictures: Path,
    tmp_path: Path,
    model: str,
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    monkeypatch.setenv("DASHVECTOR_API_KEY", dashvector_server.api_key)
    monkeypatch.setenv("DASHVECTOR_ENDPOINT", dashvector_server.endpoint)
    here: dict[str, Any] = {"store": "dashvector:", "work_dir": str(tmp_path / "work")}
    for number in (1, 2):
        (pictures / "3.png").write_bytes((pictures / f"{number}.png").read_bytes())
        done = reindex_dataset(f"folder:{pictures}", model=model, strategy="blue-green", **here)
        assert done.collection == f"muge-{number}"
    settings = load_settings(**here)
    with caller_context(settings) as context:
        aliases = context.aliases(settings)
        name = aliases.where("muge").removeprefix("Prefect Variable ")
        kept = Variable.get(name)
        assert isinstance(kept, dict)
        assert (kept["live"], kept["previous"]) == ("muge-2", "muge-1")
        assert not list(tmp_path.rglob("aliases/*"))
        move_alias(context, settings, None)
        alias = aliases.find()
        assert alias is not None
        assert alias.live == "muge-1"
    assert search_images(["黄色雨伞"], topk=3, **here)[0].hits

    Variable.unset(name)  # the server was built anew
    assert search_images(["黄色雨伞"], topk=3, **here)[0].hits
    (pictures / "3.png").write_bytes((pictures / "7.png").read_bytes())
    with pytest.raises(AliasDoubtError, match=f"none in Prefect Variable {name}"):
        reindex_dataset(f"folder:{pictures}", model=model, strategy="blue-green", **here)
    with caller_context(settings) as context:
        assert context.store("dashvector:").collections() == ["muge-1", "muge-2"]
        adopt(context, settings, "muge-1")
        assert context.aliases(settings).surely_live() == context.aliases(settings).find()


def test_without_a_server_aliases_stay_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answering: str
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    settings = load_settings(store="dashvector:", work_dir=str(tmp_path / "work"))

    def where(name: str, store: str = "dashvector:") -> str:
        there = settings.model_copy(update={"store": store})
        with caller_context(there) as context:
            return context.aliases(there).where(name)

    assert where("muge").startswith(str(tmp_path / "work" / "aliases"))
    for name in ("PREFECT_API_URL", TEMPORARY):  # a server that is gone with this process
        monkeypatch.setenv(name, "http://127.0.0.1:9/api")
    assert where("muge").startswith(str(tmp_path / "work" / "aliases"))
    monkeypatch.delenv("PREFECT_API_URL")
    profiles = f'active = "a"\n[profiles.a]\n[profiles.b]\nPREFECT_API_URL = "{answering}"\n'
    (tmp_path / "profiles.toml").write_text(profiles)  # the one with a server is not active
    assert where("muge").startswith(str(tmp_path / "work" / "aliases"))
    (tmp_path / "profiles.toml").write_text(profiles.replace('"a"', '"b"'))
    assert where("Muge").startswith("Prefect Variable muge_alias_dashvector_")
    assert where("Muge") != where("muge")
    assert where("muge", f"zvec:{tmp_path / 'here'}").startswith(str(tmp_path / "here"))


def test_without_a_server_there_is_no_quota_and_none_is_started_to_look(
    dashvector_server: DashVectorServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DASHVECTOR_API_KEY", dashvector_server.api_key)
    monkeypatch.setenv("DASHVECTOR_ENDPOINT", dashvector_server.endpoint)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    looking = """
import sys
from flows.orchestration.context import caller_context
from tasks.settings import load_settings
from tests.servers.loopback import loopback_allowed
settings = load_settings(store="dashvector:", work_dir=sys.argv[1])
with loopback_allowed(), caller_context(settings, writes=True) as context:
    assert context.store("dashvector:").collections() == []
assert "prefect" not in sys.modules
"""
    command = [sys.executable, "-c", looking, str(tmp_path / "work")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_a_server_that_is_away_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("refused\nby somebody")

    monkeypatch.setattr(Variable, "get", refuse)
    with pytest.raises(
        StoreError, match=r"keeps the aliases does not answer .*refused by somebody\); start"
    ):
        VariableBook().read("muge")
