"""Statistics of another corpus: from a file, or fetched by https and held to a hash."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.errors import UsageError
from tasks.options import OptionValue
from tasks.settings import Settings, load_settings
from tasks.sparse.lexicon import DEFAULT
from tasks.sparse.options import COUNT_THE_DOCUMENTS, parse_statistics, sparse_options
from tasks.sparse.tokens import tokenize
from tests.sparse.https import HttpsServer

CORPUS = ["红色 连衣裙", "蓝色 连衣裙", "手机 手机 手机 手机 手机 手机 手机"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """What DashText itself saves."""
    own = pytest.importorskip("dashtext").SparseVectorEncoder()
    own.train(CORPUS)
    path = tmp_path / "bm25_zh_default.json"
    own.dump(str(path))
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def settings(**given: OptionValue) -> Settings:
    return load_settings(**given)


def test_a_file_of_dashtext_is_used_as_it_is(model: Path) -> None:
    options = sparse_options(settings(bm25=str(model)))
    bm25 = options.statistics()
    own = pytest.importorskip("dashtext").SparseVectorEncoder(tokenize_function=tokenize)
    own.load(str(model))
    assert dict(bm25.encode_query("红色连衣裙")) == own.encode_queries("红色连衣裙")
    assert dict(bm25.encode_document("红色连衣裙")) == own.encode_documents("红色连衣裙")
    assert (bm25.of_corpus, bm25.source) == (False, f"sha256:{sha256(model)}")
    assert options.fingerprint() == {"statistics": sha256(model)}


def test_its_negative_weights_are_mended(model: Path) -> None:
    own = pytest.importorskip("dashtext").SparseVectorEncoder()
    own.load(str(model))
    assert min(own.encode_queries("手机 红色").values()) < 0
    weights = sparse_options(settings(bm25=str(model))).statistics().encode_query("手机 红色")
    assert len(weights) == 2
    assert all(math.isfinite(weight) and weight > 0 for weight in weights.values())


def test_a_pinned_file_must_have_the_hash(model: Path) -> None:
    pinned = settings(bm25=str(model), bm25_sha256=sha256(model).upper())
    assert sparse_options(pinned).statistics().documents == 3
    model.write_bytes(model.read_bytes() + b" ")
    with pytest.raises(UsageError, match="they were changed, or MUGE_BM25_SHA256"):
        sparse_options(pinned).statistics()


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("http://example.com/bm25.json", "by https only"),
        ("ftp://example.com/bm25.json", "by https only"),
        ("https://example.com/bm25.json", "need MUGE_BM25_SHA256"),
        ("missing.json", "cannot be read"),
    ],
)
def test_what_cannot_be_trusted_is_refused_at_once(place: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        sparse_options(settings(bm25=place))


def test_a_hash_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="MUGE_BM25_SHA256"):
        settings(bm25_sha256="abc")


@pytest.mark.parametrize(
    "change",
    [
        {"_doc_count": 0},
        {"_doc_length_average": 0.0},
        {"_doc_length_average": float("nan")},
        {"_doc_token_frequency": [1]},
        {"_doc_token_frequency": {"手机": 1}},
        {"_doc_count": None},
    ],
)
def test_other_json_is_refused(model: Path, change: dict[str, object]) -> None:
    content = json.dumps({**json.loads(model.read_bytes()), **change}).encode()
    with pytest.raises(UsageError, match="BM25 statistics x"):
        parse_statistics(content, DEFAULT, "x", "0")


def test_the_default_changes_no_name() -> None:
    as_ever = settings(tokens="words", simplified="no")
    assert sparse_options(as_ever) == COUNT_THE_DOCUMENTS
    assert COUNT_THE_DOCUMENTS.fingerprint() == {}


def test_words_change_the_names_of_outputs(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("山系穿搭\n", "utf-8")
    one = sparse_options(settings(user_dictionary=str(words))).fingerprint()
    two = sparse_options(settings(stop_words=str(words))).fingerprint()
    assert one.keys() == two.keys() == {"lexicon"}
    assert one != two


@pytest.fixture
def server(tmp_path: Path, model: Path) -> Iterator[HttpsServer]:
    pages: dict[str, bytes | str] = {"/moved": "/bm25.json", "/away": "http://x.test/"}
    pages["/bm25.json"] = model.read_bytes()
    with HttpsServer(tmp_path, pages) as started:
        yield started


def trusted(server: HttpsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))


@pytest.mark.parametrize("page", ["bm25.json", "moved"])
def test_fetched_and_held_to_its_hash(
    server: HttpsServer, model: Path, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    trusted(server, monkeypatch)
    given = {"bm25": f"{server.address}/{page}"}
    assert sparse_options(settings(**given, bm25_sha256=sha256(model))).statistics().documents == 3
    with pytest.raises(UsageError, match=f"have SHA-256 {sha256(model)}, expected {'0' * 64}"):
        sparse_options(settings(**given, bm25_sha256="0" * 64)).statistics()


@pytest.mark.parametrize(
    ("page", "said"), [("away", "which is not https"), ("missing", "404"), ("loop", "too often")]
)
def test_pages_that_are_no_statistics(
    server: HttpsServer, monkeypatch: pytest.MonkeyPatch, page: str, said: str
) -> None:
    trusted(server, monkeypatch)
    options = sparse_options(settings(bm25=f"{server.address}/{page}", bm25_sha256="0" * 64))
    with pytest.raises(UsageError, match=said):
        options.statistics()


def test_a_certificate_that_nobody_vouches_for_is_refused(server: HttpsServer) -> None:
    options = sparse_options(settings(bm25=f"{server.address}/bm25.json", bm25_sha256="0" * 64))
    with pytest.raises(UsageError, match="CERTIFICATE_VERIFY_FAILED"):
        options.statistics()
