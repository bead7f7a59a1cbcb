"""Credentials: named when they are missing, refused when they are wrong, and never shown."""

from __future__ import annotations

import logging
import sys
import traceback
from pathlib import Path

import pytest
from pydantic import SecretStr

from tasks.errors import StoreError, UsageError
from tasks.settings import DashVectorSettings
from tasks.store.contract import VectorStore
from tasks.store.dashvector.store import DashVectorStore
from tasks.store.stores import open_store
from tests.servers.dashvector import DashVectorServer
from tests.servers.dashvector_faults import Fault
from tests.servers.fixtures import QUICK, StoreFactory
from tests.store.conftest import SPEC
from tests.store.samples import random_documents

KEY = "sk-do-not-show-me"
BOTH = ("DASHVECTOR_API_KEY", "DASHVECTOR_ENDPOINT")


@pytest.mark.parametrize("given", [(), BOTH[:1], BOTH[1:]])
def test_missing_variables_are_named(
    monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...]
) -> None:
    for name in BOTH:
        monkeypatch.delenv(name, raising=False)
    for name in given:
        monkeypatch.setenv(name, KEY)
    with pytest.raises(UsageError) as caught:
        open_store("dashvector:")
    for name in BOTH:
        assert (name in str(caught.value)) == (name not in given)
    assert KEY not in str(caught.value)


def test_the_address_opens_the_store_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, dashvector_server: DashVectorServer
) -> None:
    monkeypatch.setenv("DASHVECTOR_API_KEY", dashvector_server.api_key)
    monkeypatch.setenv("DASHVECTOR_ENDPOINT", dashvector_server.endpoint)
    store: VectorStore = open_store("dashvector:")
    store.create(SPEC)
    assert store.collections() == [SPEC.name]
    store.close()


@pytest.mark.parametrize("way", ["file", "command"])
def test_credentials_of_a_secret_store(
    way: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dashvector_server: DashVectorServer
) -> None:
    values = {BOTH[0]: dashvector_server.api_key, BOTH[1]: dashvector_server.endpoint}
    for name, value in values.items():
        monkeypatch.delenv(name, raising=False)
        if way == "file":
            (tmp_path / name).write_text(f"{value}\n")
            monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
        else:
            command = f"{sys.executable} -c \"print('{value}')\""
            monkeypatch.setenv(f"{name}_COMMAND", command)
    store = open_store("dashvector:")
    store.create(SPEC)
    assert store.collections() == [SPEC.name]
    store.close()


WAYS = {
    "no file": ({"_FILE": "/nowhere/key"}, r"DASHVECTOR_API_KEY_FILE /nowhere/key cannot be read"),
    "no regular file": (
        {"_FILE": "/dev/null"},
        r"_FILE /dev/null cannot be read: it is not a file",
    ),
    "no command": (
        {"_COMMAND": "no-such-command a"},
        r"DASHVECTOR_API_KEY_COMMAND .*no-such-comma",
    ),
    "a failure": ({"_COMMAND": "sh -c 'echo sk-do-not-show-me; exit 3'"}, r"COMMAND ended with 3;"),
    "nothing said": ({"_COMMAND": "true"}, r"DASHVECTOR_API_KEY_COMMAND printed nothing"),
    "no words": ({"_COMMAND": "echo 'a"}, r"DASHVECTOR_API_KEY_COMMAND is no command: "),
    "two ways": ({"_COMMAND": "true", "_FILE": "/dev/null"}, r"one of .*_FILE and .*_COMMAND"),
}


@pytest.mark.parametrize("case", WAYS)
def test_a_secret_store_that_gives_nothing_is_named(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DASHVECTOR_API_KEY", raising=False)
    monkeypatch.setenv("DASHVECTOR_ENDPOINT", "somewhere")
    given, said = WAYS[case]
    for end, value in given.items():
        monkeypatch.setenv(f"DASHVECTOR_API_KEY{end}", value)
    with pytest.raises(UsageError, match=said) as caught:
        open_store("dashvector:")
    assert "\n" not in str(caught.value)
    assert KEY not in str(caught.value)


def test_credentials_of_elsewhere_will_do(dashvector_server: DashVectorServer) -> None:
    settings = DashVectorSettings(
        api_key=SecretStr(dashvector_server.api_key), endpoint=SecretStr(dashvector_server.endpoint)
    )
    store = DashVectorStore.from_settings(settings, QUICK)
    assert store.collections() == []
    store.close()


def test_a_wrong_key_is_refused_at_once_and_not_shown(
    dashvector_server: DashVectorServer,
    dashvector_store: StoreFactory,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    store = dashvector_store(api_key=KEY)
    with pytest.raises(StoreError, match="API key was refused") as caught:
        store.create(SPEC)
    shown = [
        *traceback.format_exception(caught.value),
        repr(store),
        str(store),
        caplog.text,
        *capfd.readouterr(),
    ]
    assert KEY not in "".join(shown)
    assert dashvector_server.endpoint not in "".join(shown)
    assert dashvector_server.faults.requests.total() == 0


@pytest.mark.parametrize("endpoint", ["https://example.com", "example", "exa_mple.com/path"])
def test_an_endpoint_that_is_none_is_refused_and_not_shown(endpoint: str) -> None:
    store = DashVectorStore(SecretStr(KEY), SecretStr(endpoint), QUICK)
    with pytest.raises(StoreError, match="DASHVECTOR_ENDPOINT") as caught:
        store.collections()
    shown = "".join(traceback.format_exception(caught.value))
    assert endpoint not in shown
    assert KEY not in shown


def test_messages_of_the_service_are_cleared_of_secrets(
    dashvector_server: DashVectorServer, dashvector_store: StoreFactory
) -> None:
    store = dashvector_store(deadline_seconds=0.1)
    store.create(SPEC)
    dashvector_server.go_away()
    with pytest.raises(StoreError) as caught:
        store.upsert(SPEC.name, random_documents(3))
    store.close()
    shown = "".join(traceback.format_exception(caught.value))
    assert dashvector_server.endpoint not in shown
    assert dashvector_server.api_key not in shown
    dashvector_server.come_back()
    dashvector_server.faults.script("upsert_doc", Fault("partial", -2017))
    rejects = dashvector_store().upsert(SPEC.name, random_documents(3)).rejects
    assert rejects
    assert dashvector_server.api_key not in repr(rejects)


@pytest.mark.parametrize("odd", ["{}\n", "{} x", "\t{}", "{}密钥", "{}\x00"])
@pytest.mark.parametrize("name", BOTH)
def test_what_no_header_can_carry_is_refused_before_it_is_sent(
    monkeypatch: pytest.MonkeyPatch, name: str, odd: str
) -> None:
    for each in BOTH:
        monkeypatch.setenv(each, KEY)
    if "\x00" in odd:  # the environment cannot hold it, a block can
        given = {key: SecretStr(KEY) for key in ("api_key", "endpoint")}
        given[name.removeprefix("DASHVECTOR_").lower()] = SecretStr(odd.format(KEY))
        settings = DashVectorSettings(api_key=given["api_key"], endpoint=given["endpoint"])
        with pytest.raises(UsageError) as caught:
            DashVectorStore.from_settings(settings)
    else:
        monkeypatch.setenv(name, odd.format(KEY))
        with pytest.raises(UsageError) as caught:
            open_store("dashvector:")
    assert f"cannot use {name}:" in str(caught.value)
    assert KEY not in str(caught.value)
