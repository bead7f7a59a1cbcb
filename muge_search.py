"""muge-search from Python: index, reindex, evaluate and search; no Prefect and no server.

    import muge_search

    report = muge_search.index("folder:pictures")
    with muge_search.open_collection() as collection:
        for hit in collection.search(text="下雨天打的伞", topk=5).hits:
            print(hit.id, hit.score, hit.fields["query"])
    print(muge_search.evaluate("folder:pictures").metrics)

Defaults are those of the command `muge`, environment variables (MUGE_<NAME>) included. Every error
is a `MugeError`, whose message says what to do.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from tasks.errors import MugeError, UsageError
from tasks.options import read_options
from tasks.settings import EvaluateChoices, Fusion, ReindexChoices, Settings

if TYPE_CHECKING:
    from tasks.context import Context
    from tasks.evaluate.result import Evaluation
    from tasks.index.report import IndexReport
    from tasks.reindex.report import ReindexReport
    from tasks.search.questions import Question
    from tasks.search.searcher import Answer, Searcher
    from tasks.work.progress import Progress

__all__ = [
    "Collection",
    "EvaluateChoices",
    "MugeError",
    "ReindexChoices",
    "Settings",
    "evaluate",
    "index",
    "open_collection",
    "reindex",
]


def index(
    dataset: str,
    *,
    store: str | None = None,
    collection: str | None = None,
    model: str | None = None,
    settings: Settings | None = None,
    replace: bool = False,
    progress: Progress | None = None,
) -> IndexReport:
    """Make a data set searchable, as `muge index` does; what is done already is not done again.

    `settings` holds every other option; `store`, `collection` and `model` win over it. `replace`
    drops the collection first if it was made of something else. `progress` is told how far stages
    are. Where `settings` limit the run (`max_images`, `deadline`), `report.unfinished` says how far
    it came. Raises a `MugeError`; `report.rejects` counts what was refused, in `report.run_dir`.
    """
    from tasks.index.operation import index as operation
    from tasks.index.runner import Threads

    _expect("dataset", dataset, str)
    chosen = _settings(settings, store=store, collection=collection, model=model)
    with _context(progress) as context:
        return operation(dataset, chosen, Threads(context), replace)


def reindex(
    dataset: str,
    *,
    store: str | None = None,
    collection: str | None = None,
    model: str | None = None,
    settings: Settings | None = None,
    choices: ReindexChoices = ReindexChoices(),
    progress: Progress | None = None,
) -> ReindexReport:
    """Bring a collection up to its data set, as `muge reindex` does: only what changed is encoded
    and sent, in place or (`ReindexChoices(strategy="blue-green")`) beside the live one.

    Arguments and errors as `index`.
    """
    from tasks.index.runner import Threads
    from tasks.reindex.operation import reindex as operation

    _expect("dataset", dataset, str)
    _expect("choices", choices, ReindexChoices)
    chosen = _settings(settings, store=store, collection=collection, model=model)
    with _context(progress) as context:
        return operation(dataset, chosen, Threads(context), choices)


def evaluate(
    dataset: str,
    *,
    store: str | None = None,
    collection: str | None = None,
    settings: Settings | None = None,
    choices: EvaluateChoices = EvaluateChoices(),
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a collection with a data set's queries, as `muge evaluate` does.

    A baseline in `choices` is held, and with `hold` the kept one: raises `QualityDropError` if a
    metric fell too far. Arguments and other errors as `index`.
    """
    from tasks.evaluate.gate import check_quality, read_baseline
    from tasks.evaluate.operation import evaluate as operation
    from tasks.evaluate.result import as_json
    from tasks.index.runner import Threads

    _expect("dataset", dataset, str)
    _expect("choices", choices, EvaluateChoices)
    chosen = _settings(settings, store=store, collection=collection)
    then = None if choices.baseline is None else read_baseline(choices.baseline)
    with _context(progress) as context:
        measured = operation(dataset, chosen, Threads(context), choices)
    if then is not None:
        check_quality(then, as_json(measured), choices.max_metric_drop)
    return measured


class Collection:
    """A collection opened for searching; threads may share it. Close it, or use it with `with`."""

    def __init__(self, context: Context, searcher: Searcher, settings: Settings) -> None:
        self._context = context
        self._searcher = searcher
        self._settings = settings
        self._closed = False

    def __enter__(self) -> Collection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def name(self) -> str:
        """The collection that is searched: where an alias was asked for, the one it meant."""
        return self._searcher.record.collection

    def search(
        self,
        text: str | None = None,
        image: str | Path | bytes | None = None,
        *,
        like: str | None = None,
        alpha: float | None = None,
        topk: int | None = None,
        filter: str | None = None,
        group_by: str | None = None,
        products: bool = True,
        fusion: Fusion | None = None,
        text_weight: float | None = None,
        alike: float | None = None,
    ) -> Answer:
        """The best hits for a text, a picture (file, http(s) address or bytes), both (picture =
        meaning, text = keywords and, as much as `text_weight` says, meaning), or more like a
        document's id.

        `alpha` 1 is meaning only, 0 keywords only; it and `topk` default to the settings'. If the
        data has products, each hit is the best picture of its own, unless `products` is False.
        `fusion` is weighted, normalised or rrf (None: as the settings say). With `alike` one hit
        stands for pictures whose vectors are at least so similar (cosine).

        Raises `QueryError` for what cannot be asked.
        """
        from tasks.search.questions import Question

        for name, value in {
            "text": text,
            "like": like,
            "filter": filter,
            "group_by": group_by,
        }.items():
            _expect(name, value, str, type(None))
        _expect("image", image, str, Path, bytes, type(None))
        question = Question(
            text=text,
            image="picture" if isinstance(image, bytes) else None if image is None else str(image),
            alpha=self._settings.alpha if alpha is None else alpha,
            topk=self._settings.topk if topk is None else topk,
            filter=filter,
            like=like,
            group_by=group_by,
            products=products,
            fusion=fusion,
            text_weight=self._settings.text_weight if text_weight is None else text_weight,
            alike=alike,
            alpha_is_open=alpha is None and "alpha" not in self._settings.model_fields_set,
        )
        return self.ask(question, image if isinstance(image, bytes) else None)

    def ask(self, question: Question, picture: bytes | None = None) -> Answer:
        """As `search`, of a `Question`; `picture` is its picture, where it was had already."""
        if self._closed:
            raise UsageError(f"collection {self.name!r} was closed; open it again to search it")
        return self._searcher.answer([self._searcher.prepare(question, picture)])[0]

    def close(self) -> None:
        """Let go of the store, so that other processes may write to it; the end of searching."""
        self._closed = True
        self._context.close()


def open_collection(
    collection: str | None = None,
    *,
    store: str | None = None,
    settings: Settings | None = None,
) -> Collection:
    """Open a collection (None: the default one), or what an alias means now, for searching.

    Raises `CollectionRecordError` if it was not indexed, or not by what is found here.
    """
    from tasks.search.searcher import open_searcher

    chosen = _settings(settings, store=store, collection=collection)
    context = _context(None)
    try:
        return Collection(context, open_searcher(context, chosen), chosen)
    except BaseException:
        context.close()
        raise


def _settings(base: Settings | None, **given: str | None) -> Settings:
    """The settings with what was given beside them; raises `UsageError` for what is not allowed."""
    _expect("settings", base, Settings, type(None))
    for name, value in given.items():
        _expect(name, value, str, type(None))
    wanted = {name: value for name, value in given.items() if value is not None}
    if base is None:
        return read_options(Settings, wanted)
    checked = read_options(Settings, {**base.model_dump(), **wanted})
    # what nobody said stays unsaid: a collection has its own alpha then
    return base.model_copy(update={name: getattr(checked, name) for name in wanted})


def _context(progress: Progress | None) -> Context:
    from tasks.context import Context
    from tasks.settings import Seeing
    from tasks.telemetry.listening import watching
    from tasks.work.progress import SILENT

    if not all(hasattr(progress or SILENT, name) for name in ("start", "advance", "finish")):
        raise UsageError(
            f"progress is {progress!r}, expected an object with start(stage, total), "
            f"advance(stage, done) and finish(stage, made)"
        )
    return Context(progress or SILENT, watch=watching(Seeing(), with_log=False))


def _expect(name: str, value: object, *kinds: type) -> None:
    if not isinstance(value, kinds):
        wanted = " or ".join("None" if k is type(None) else k.__name__ for k in kinds)
        raise UsageError(f"{name} is {value!r:.80}, expected {wanted}")
