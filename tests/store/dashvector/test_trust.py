"""TLS: the system's roots, a company's own, and certificates that nobody vouches for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.errors import HubError, StoreError, UsageError
from tasks.store.stores import open_store
from tests.servers.dashvector import DashVectorServer
from tests.servers.loopback import loopback_allowed
from tests.sparse.https import HttpsServer, make_certificate

VARIABLES = ("DASHVECTOR_ROOTS", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "SSL_CERT_FILE")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The root of a company, whose server is in the environment."""
    certificate, key = make_certificate(tmp_path)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with loopback_allowed(tls=True), DashVectorServer(tls=(certificate, key)) as server:
        monkeypatch.setenv("DASHVECTOR_API_KEY", server.api_key)
        monkeypatch.setenv("DASHVECTOR_ENDPOINT", server.endpoint)
        yield certificate


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_company_s_own_root(variable: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, str(root))
    store = open_store("dashvector:")
    assert store.collections() == []
    store.close()


def test_a_certificate_that_is_not_trusted_is_named_at_once(root: Path) -> None:
    began = time.monotonic()
    with pytest.raises(StoreError) as caught:
        open_store("dashvector:").collections()
    said = str(caught.value)
    assert "the certificate of DASHVECTOR_ENDPOINT is not trusted" in said
    assert "DASHVECTOR_ROOTS" in said
    assert "self signed certificate" in said.replace("-", " ")
    assert "127.0.0.1" not in said
    assert not caught.value.may_pass
    assert time.monotonic() - began < 30  # of 600 for a service that is away


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_that_holds_no_root(
    content: str | None, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "roots.pem"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("DASHVECTOR_ROOTS", str(file))
    with pytest.raises(UsageError, match=r"DASHVECTOR_ROOTS .*roots.pem cannot be used: "):
        open_store("dashvector:").collections()


@pytest.mark.slow
def test_a_model_hub_with_a_company_s_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.download.modelscope import list_snapshot

    with HttpsServer(tmp_path, {}) as server:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", server.address)
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(HubError, match=r"(?i)certificate"):
            list_snapshot("model", "a/b", "master")
        monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        with pytest.raises(HubError) as caught:
            list_snapshot("model", "a/b", "master")
        assert "certificate" not in str(caught.value).lower()
