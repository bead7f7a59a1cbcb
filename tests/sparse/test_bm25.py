"""BM25 vectors: finite, positive, by documents, the same everywhere."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import mmh3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import WorkFolderError
from tasks.records import SparseVector
from tasks.sparse.bm25 import K1, B, Bm25, load_bm25, train_bm25
from tasks.sparse.tokens import tokenize
from tasks.work.folder import Folder

CORPUS = ["红色 连衣裙", "蓝色 连衣裙 长款", "5G 手机 红色", "Apple 手机 65W 充电器"]
WORDS = (
    "红色",
    "蓝色",
    "连衣裙",
    "手机",
    "5G",
    "Apple",
    "的",
    "，",
    "😀",
    "从未见过",
    "\u200b",
    "\0",
)
TEXTS = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)


def key(token: str) -> int:
    return int(mmh3.hash(token, signed=False))


@settings(deadline=None, max_examples=40)
@given(st.lists(TEXTS, max_size=8), TEXTS)
def test_every_weight_is_usable(corpus: list[str], text: str) -> None:
    bm25 = train_bm25(corpus)
    document, query = bm25.encode_document(text), bm25.encode_query(text)
    for vector in (document, query):
        assert all(0 < weight < math.inf for weight in vector.values())
        assert all(type(k) is int and 0 <= k < 1 << 32 for k in vector)
        assert all(type(weight) is float for weight in vector.values())
        assert list(vector) == sorted(vector)
    assert all(weight < 1 for weight in document.values())
    trained, tokens = any(tokenize(each) for each in corpus), {key(t) for t in tokenize(text)}
    assert document.keys() == query.keys() == (tokens if trained else set())
    if query:
        assert sum(query.values()) == pytest.approx(1, abs=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.lists(TEXTS, min_size=1, max_size=8), TEXTS)
def test_weights_are_by_the_formula(corpus: list[str], text: str) -> None:
    bm25, tokens = train_bm25(corpus), tokenize(text)
    documents = [found for each in corpus if (found := tokenize(each))]
    if not documents or not tokens:
        assert bm25.encode_query(text) == {}
        return
    mean = sum(map(len, documents)) / len(documents)
    idf = {
        token: math.log((len(documents) + 1) / (max(1, sum(token in d for d in documents)) + 0.5))
        for token in tokens
    }
    length = K1 * (1 - B + B * len(tokens) / mean)
    wanted = {key(t): tokens.count(t) / (tokens.count(t) + length) for t in tokens}
    assert dict(bm25.encode_document(text)) == pytest.approx(wanted, rel=1e-5)
    query = {key(t): weight / sum(idf.values()) for t, weight in idf.items()}
    assert dict(bm25.encode_query(text)) == pytest.approx(query, rel=1e-5)


def test_frequencies_count_documents_where_dashtext_counts_occurrences() -> None:
    corpus = ["猫 猫 猫 猫 猫 猫 猫 猫", "红色 帽子", "蓝色 手机"]
    dashtext = pytest.importorskip("dashtext")
    own = dashtext.SparseVectorEncoder(tokenize_function=tokenize)
    own.train(corpus)
    theirs = own.encode_queries("猫 帽子")
    assert min(theirs.values()) < 0
    ours = train_bm25(corpus).encode_query("猫 帽子")
    assert ours[key("猫")] == pytest.approx(0.5)
    assert ours[key("帽子")] == pytest.approx(0.5)


def test_an_empty_corpus_knows_nothing() -> None:
    for corpus in ([], [""], ["，。", "的"]):
        bm25 = train_bm25(corpus)
        assert bm25.documents == 0
        assert bm25.encode_query("红色") == bm25.encode_document("红色") == {}


def test_a_corpus_of_one_document() -> None:
    bm25 = train_bm25(["红色 连衣裙"])
    assert bm25.encode_query("红色") == {key("红色"): 1.0}
    assert {key("红色"), key("连衣裙")} <= set(bm25.encode_document("红色 连衣裙"))


def test_rare_words_weigh_more() -> None:
    query = train_bm25(CORPUS).encode_query("Apple 手机")
    assert query[key("apple")] > query[key("手机")]


def score(query: SparseVector, document: SparseVector) -> float:
    return sum(weight * document.get(term, 0.0) for term, weight in query.items())


def test_the_document_with_the_words_is_best() -> None:
    bm25 = train_bm25(CORPUS)
    documents = [bm25.encode_document(text) for text in CORPUS]
    for text, best in (("ＡＰＰＬＥ", 3), ("5g", 2), ("长款连衣裙", 1), ("65w 充电器", 3)):
        scores = [score(bm25.encode_query(text), document) for document in documents]
        assert scores.index(max(scores)) == best


def test_order_of_training_does_not_matter() -> None:
    assert len({train_bm25(corpus).hash for corpus in permutations(CORPUS)}) == 1
    assert train_bm25(CORPUS).hash != train_bm25(CORPUS[:3]).hash


def test_training_reads_a_stream_once() -> None:
    assert train_bm25(iter(CORPUS)).hash == train_bm25(CORPUS).hash


SCRIPT = (
    "import sys; from tasks.sparse.bm25 import train_bm25; print(train_bm25(sys.argv[1:]).hash)"
)


@pytest.mark.thorough
def test_the_hash_is_the_same_in_every_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *CORPUS],
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == train_bm25(CORPUS).hash


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path))


def test_statistics_come_back(folder: Folder) -> None:
    bm25 = train_bm25(CORPUS)
    bm25.save(folder, "bm25.json")
    found = load_bm25(folder, "bm25.json")
    assert (found.hash, found.documents) == (bm25.hash, 4)
    for text in CORPUS:
        assert found.encode_query(text) == bm25.encode_query(text)
        assert found.encode_document(text) == bm25.encode_document(text)


def test_dashtext_loads_the_file_and_gives_the_same(folder: Folder) -> None:
    dashtext = pytest.importorskip("dashtext")
    bm25 = train_bm25(CORPUS)
    bm25.save(folder, "bm25.json")
    own = dashtext.SparseVectorEncoder(tokenize_function=tokenize)
    own.load(folder.path("bm25.json"))
    for text in (*CORPUS, "从未见过 红色"):
        assert dict(own.encode_queries(text)) == dict(bm25.encode_query(text))
        assert dict(own.encode_documents(text)) == dict(bm25.encode_document(text))


@pytest.mark.parametrize(
    "change",
    [
        {"_doc_count": 5},
        {"_doc_length_average": 9.5},
        {"_doc_token_frequency": {"1": 1}},
        {"_doc_token_frequency": [1]},
        {"_b": 0.5},
        {"_k1": 2.0},
        {"version": "other"},
        {"hash": "0" * 16},
    ],
)
def test_an_altered_file_is_refused(folder: Folder, change: dict[str, object]) -> None:
    train_bm25(CORPUS).save(folder, "bm25.json")
    folder.write_json("bm25.json", {**folder.read_json("bm25.json"), **change})
    with pytest.raises(
        WorkFolderError, match=r"do not agree with themselves.*index again"
    ) as error:
        load_bm25(folder, "bm25.json")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"_doc_count": 1}', "null", "{"])
def test_a_torn_file_is_refused(folder: Folder, content: str) -> None:
    (Path(folder.url) / "bm25.json").write_text(content)
    with pytest.raises(WorkFolderError, match=r"bm25.json"):
        load_bm25(folder, "bm25.json")


def test_statistics_are_named_by_their_content() -> None:
    one = Bm25({"1": 2, "3": 1}, 3, 4.0)
    assert one.hash == Bm25({"1": 2, "3": 1}, 3, 4.0).hash == Bm25({"3": 1, "1": 2}, 3, 4.0).hash
    assert one.hash != Bm25({"1": 2, "3": 2}, 3, 4.0).hash
    assert json.loads(json.dumps(one.content())) == one.content()


@settings(max_examples=60)
@given(st.lists(TEXTS, min_size=1, max_size=8), TEXTS, st.sampled_from([0.5, 3.7, 1e6]))
def test_weights_are_those_of_dashtext_to_the_last_bit(
    corpus: list[str], text: str, mean: float
) -> None:
    dashtext = pytest.importorskip("dashtext.pydashtext")
    counted = train_bm25(corpus)
    bm25 = Bm25(counted.frequencies, counted.documents, mean)
    tokens = bm25.tokens(text)
    if not tokens or not bm25.documents:
        return
    own = dashtext.BM25(B, K1)
    own.load(json.dumps(bm25.content()))
    assert bm25.encode_document(text) == own.encode_document(tokens)
    assert bm25.encode_query(text) == own.encode_query(tokens)


def test_more_documents_than_a_float_can_tell_apart_give_no_weights() -> None:
    assert Bm25({str(key("红色")): 10**20}, 10**20, 1.0).encode_query("红色") == {}
