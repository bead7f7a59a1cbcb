"""The checks that a new collection passes before it replaces the live one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tasks.context import Context
from tasks.dataset.readers import bounds_of, open_reader
from tasks.dataset.shards import read_entries, read_shards
from tasks.encode.stage.embeddings import read_embedded
from tasks.errors import CollectionRecordError, ModelError, SwitchRefusedError, VerificationError
from tasks.evaluate.drawn import drawn_queries
from tasks.evaluate.gallery import images_of
from tasks.evaluate.judgements import Judgement, protocol_of, read_judgements
from tasks.evaluate.metrics import METRICS, score_queries
from tasks.index.run import Filling
from tasks.index.verification import sampled_documents, verify_filled
from tasks.records import Document, Query
from tasks.search.batches import BATCH
from tasks.search.questions import Question
from tasks.search.searcher import Searcher
from tasks.settings import Settings
from tasks.telemetry.metrics import CHECK_FOUND, CHECK_PASSED, CHECK_WANTED
from tasks.work.collections import CollectionRecord
from tasks.work.folder import Folder
from tasks.work.rejects import read_rejects

QUERIES = 500
"""Queries of the data itself that are asked where no held-out set is given."""
DEPTH = 10
FETCHED = 100
NEAREST = 5
TIE = 1e-3


@dataclass(frozen=True, slots=True)
class Check:
    """One check: `found` and `wanted` are its numbers where it has some (`found` must not be
    lower), `said` a line for people."""

    name: str
    passed: bool
    found: float | None
    wanted: float | None
    said: str


def check_switch(
    context: Context,
    filling: Filling,
    documents: int,
    live: CollectionRecord | None,
    gate_queries: str | None,
) -> list[Check]:
    """All checks of a new collection against what was sent and against the live one, with the
    margins of the run's settings.

    Raises `SwitchRefusedError` naming those that failed and by how much.
    """
    context.check_held()
    checks = [
        _check_content(context, filling, documents),
        _check_size(filling, documents, live),
        _check_nothing_lost(context, filling, live),
        _check_self_retrieval(context, filling),
    ]
    if all(check.passed for check in checks):
        checks.append(_check_recall(context, filling, live, gate_queries))
    for check in checks:
        context.watch.set(CHECK_PASSED, check.passed, check.name)
        for metric, value in ((CHECK_FOUND, check.found), (CHECK_WANTED, check.wanted)):
            if value is not None:
                context.watch.set(metric, value, check.name)
    failed = [check.said for check in checks if not check.passed]
    if failed:
        alias = f"the live one, {live.collection!r}, stays" if live else "there is no live one"
        raise SwitchRefusedError(
            f"collection {filling.record.collection!r} is not switched to: {'; '.join(failed)}; "
            f"{alias}"
        )
    return checks


def _sample(filling: Filling) -> Iterator[Document]:
    run = filling.run
    return sampled_documents(run.source, filling.held, run.settings.verify_samples)


def _check_content(context: Context, filling: Filling, documents: int) -> Check:
    try:
        verify_filled(context, filling, documents)
    except VerificationError as error:
        return Check("documents", False, None, documents, f"documents: {error}")
    return Check("documents", True, documents, documents, f"{documents} documents, sample re-read")


def _check_size(filling: Filling, documents: int, live: CollectionRecord | None) -> Check:
    """A collection is not empty, nor much smaller than the live one (where both count alike)."""
    least = 1
    if live is not None and live.document == filling.record.document:
        kept = (1 - filling.run.settings.max_removed) * live.counts.get("documents", 0)
        least = max(1, math.ceil(kept))
    sentence = f"size: {documents} documents, at least {least} (--max-removed)"
    return Check("size", documents >= least, documents, least, sentence)


def _check_nothing_lost(context: Context, filling: Filling, live: CollectionRecord | None) -> Check:
    """No document that the store refused just now is in the live collection: it would vanish."""
    run, store = filling.run, context.store(filling.run.settings.store_uri)
    refused = [reject.id for reject in read_rejects(run.folder, (f"{filling.held}-",))]
    lost: list[str] = []
    if live is not None and live.document != filling.record.document:
        lost = refused  # documents have other ids there, so that none may be missing
    elif live is not None:
        for start in range(0, len(refused), FETCHED):
            some = refused[start : start + FETCHED]
            lost += store.fetch(live.collection, some, live.partition)
    sentence = f"{len(refused)} documents refused by the store, {len(lost)} of them live now"
    named = f": {', '.join(lost[:5])}" if lost else ""
    return Check("nothing_lost", not lost, -len(lost), 0, sentence + named)


def _check_self_retrieval(context: Context, filling: Filling) -> Check:
    """Each sampled document's own vector finds the document among the best."""
    store, record = context.store(filling.run.settings.store_uri), filling.record
    asked = retrieved = 0
    for document in _sample(filling):
        query = Query(
            dense=document.vector,
            sparse=None,
            topk=NEAREST,
            output_fields=(),
            partition=record.partition,
        )
        hits = store.query(record.collection, query)
        own = float(document.vector @ document.vector)
        # equal pictures have equal vectors, of which more than `NEAREST` may be there
        retrieved += any(hit.id == document.id for hit in hits) or (
            bool(hits) and hits[-1].score >= own - TIE
        )
        asked += 1
    share = retrieved / asked if asked else 0.0
    sentence = f"self-retrieval: {retrieved} of {asked} sampled documents find themselves"
    return Check("self_retrieval", 0 < asked == retrieved, share, 1.0, sentence)


def _check_recall(
    context: Context, filling: Filling, live: CollectionRecord | None, gate_queries: str | None
) -> Check:
    if live is None:
        return Check("R@10", True, None, None, "R@10: no live collection to compare with")
    settings, work = filling.run.settings, filling.run.work
    max_drop = settings.max_drop
    new = _Collection(filling.record, work.sub(filling.record.run))
    old = _Collection(live, work.sub(live.run))
    judgements = (
        _given(gate_queries, settings)
        if gate_queries
        else drawn_queries(filling.run.folder, filling.run.plan, QUERIES)
    )
    asked = _answerable(judgements, (new, old))
    if not asked:
        sentence = "R@10: no query has all its images in both collections, so nothing was compared"
        return Check("R@10", True, None, None, sentence)
    alpha = settings.alpha if gate_queries and _unseen(asked, (new, old)) else 1.0
    try:
        before = _recall(context, old, asked, settings, alpha)
    except (ModelError, CollectionRecordError) as error:  # its model is gone, or another one
        if max_drop >= 1:
            said = f"R@10: the live collection cannot be asked: {error}; nothing was compared"
            return Check("R@10", True, None, None, said)
        said = (
            f"R@10: the live collection cannot be asked: {error}; --max-drop 1 does without the "
            f"comparison"
        )
        return Check("R@10", False, None, None, said)
    after = _recall(context, new, asked, settings, alpha)
    sentence = (
        f"R@10 of {len(asked)} queries (alpha {alpha:g}): {after:.4f}, the live collection "
        f"{before:.4f}, {after - before:+.4f} where {-max_drop:+g} is allowed"
    )
    return Check("R@10", after >= before - max_drop - 1e-12, after, before - max_drop, sentence)


@dataclass(frozen=True, slots=True)
class _Collection:
    record: CollectionRecord
    run: Folder

    def images(self) -> Iterator[str]:
        for shard in read_shards(self.run):
            name = shard.file_in(self.record.stages.images)
            yield from read_embedded(self.run, name)

    def texts(self) -> Iterator[str]:
        for shard in read_shards(self.run):
            for entry in read_entries(self.run, shard):
                yield from entry.queries


def _given(gate_queries: str, settings: Settings) -> list[Judgement]:
    return read_judgements(open_reader(gate_queries, bounds_of(settings)), gate_queries)


def _answerable(
    judgements: Sequence[Judgement], collections: Sequence[_Collection]
) -> list[Judgement]:
    """Those whose images are all in both collections, so that both can be right."""
    wanted = {image for judgement in judgements for image in judgement.relevant}
    for collection in collections:
        wanted = {image for image in collection.images() if image in wanted}
    return [j for j in judgements if j.relevant and j.relevant <= wanted]


def _unseen(judgements: Sequence[Judgement], collections: Sequence[_Collection]) -> bool:
    """Whether no query is in the text of a document, so that keywords may be measured too."""
    return all(protocol_of(judgements, c.texts()).leaks == 0 for c in collections)


def _recall(
    context: Context,
    collection: _Collection,
    judgements: Sequence[Judgement],
    settings: Settings,
    alpha: float,
) -> float:
    """R@10 through the store, as people searching the collection get it."""
    store = context.store(settings.store_uri)
    searcher = Searcher(collection.record, store, collection.run, settings)
    rankings: list[list[str]] = []
    for start in range(0, len(judgements), BATCH):
        questions = [
            Question(text=judgement.text, alpha=alpha, topk=DEPTH, products=False)
            for judgement in judgements[start : start + BATCH]
        ]
        answers = searcher.answer([searcher.prepare(q) for q in questions], ())
        form = collection.record.document
        rankings += [images_of([hit.id for hit in answer.hits], form) for answer in answers]
    scores = score_queries(rankings, [judgement.relevant for judgement in judgements])
    return float(scores[:, METRICS.index("R@10")].mean())
