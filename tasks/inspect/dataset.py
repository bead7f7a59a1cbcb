"""One pass over a data set: what is in it, what would be refused, and what it would cost."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tasks.context import Context
from tasks.dataset.catalog import Catalog
from tasks.dataset.reader import Reader
from tasks.dataset.readers import bounds_of, open_reader
from tasks.downloaded.kept import Kept
from tasks.downloaded.reader import Downloaded
from tasks.encode.model.describe import describe_model
from tasks.inspect.columns import TableProfile, profile_table
from tasks.inspect.cost import Estimate, Workload, estimate_cost
from tasks.inspect.pictures import EXAMPLES, KEPT, PictureProfile, check_pictures
from tasks.settings import Settings
from tasks.work.folder import Folder

SAMPLE = 500


@dataclass(frozen=True, slots=True)
class DatasetProfile:
    """A data set in numbers: the stable JSON of `muge inspect --json`.

    `rejects` counts lines by the code they would be refused with, `missing_images` those of them
    that are pairs whose picture is not there. `query_characters` has mean, p50, p99 and max.
    `not_downloaded` rows give addresses of which nothing is kept yet: equal ones count as the same
    picture, and those to be decoded are asked and not kept. `links_outside` of its files lie
    outside its folder: links lead there, and `ignored` counts files of the folder that were not
    looked at, by cause. `estimate` is None if it was not wanted, or no picture can be read. `table`
    is what was recognised of a table. `copies` are pictures that an earlier image has too,
    `most_copied` says where the one is that most have.
    """

    dataset: str
    rows: int
    images: int
    queries: int
    pairs: int
    duplicates: int
    images_without_queries: int
    queries_without_images: int
    missing_images: int
    rejects: dict[str, int]
    examples: tuple[str, ...]
    query_characters: dict[str, float]
    pictures: PictureProfile
    estimate: Estimate | None
    read_seconds: float
    links_outside: int
    ignored: dict[str, int]
    copies: int = 0
    most_copied: str = ""
    table: TableProfile | None = None
    not_downloaded: int = 0


def inspect_dataset(
    context: Context,
    dataset: str,
    settings: Settings,
    sample: int = SAMPLE,
    estimate: bool = True,
    seen: Callable[[TableProfile], None] = lambda _: None,
) -> DatasetProfile:
    """Read a data set, decode `sample` of its pictures (0: all), and time the model on them; `seen`
    is told of a table before the whole of it is read.

    Raises `DatasetError` if it is not there, `ModelError` if the model is not.
    """
    opened, model = open_reader(dataset, bounds_of(settings)), describe_model(settings.model_name)
    table = profile_table(opened)
    if table is not None:
        seen(table)
    kept = Kept(Folder(settings.work_url)) if opened.fields.addresses else None
    reader = opened if kept is None else Downloaded(opened, kept, stand_ins=True)
    began = time.perf_counter()
    with Catalog(settings.max_image_bytes, settings.upright) as catalog:
        rejects, examples = _fill(context, catalog, reader)
        seconds = time.perf_counter() - began
        missing = reader.missing if isinstance(reader, Downloaded) else 0
        counts, unmatched = catalog.counts(), catalog.unmatched()
        checked = check_pictures(context, catalog, reader, settings, model.resolution, sample)
        texts, lengths = _measure_queries(catalog)
    documents = counts.images if settings.document == "image" else counts.pairs
    characters = lengths["mean"] * counts.pairs / max(1, documents)
    work = Workload(counts.images, counts.queries, documents, characters, seconds)
    return DatasetProfile(
        dataset=dataset,
        rows=counts.rows,
        images=counts.images,
        queries=counts.queries,
        pairs=counts.pairs,
        duplicates=counts.duplicates,
        images_without_queries=unmatched[0],
        queries_without_images=unmatched[1],
        missing_images=rejects["missing_image"],
        rejects=dict(rejects.most_common()),
        examples=examples,
        query_characters=lengths,
        pictures=checked.profile(),
        estimate=estimate_cost(settings, model, checked, texts, work) if estimate else None,
        read_seconds=round(seconds, 3),
        links_outside=reader.links_outside,
        ignored=dict(reader.ignored),
        copies=counts.copies,
        most_copied=counts.most_copied,
        table=table,
        not_downloaded=missing,
    )


def _fill(
    context: Context, catalog: Catalog, reader: Reader
) -> tuple[Counter[str], tuple[str, ...]]:
    """How often each reason came up, and the first rejects."""
    codes: Counter[str] = Counter()
    examples: list[str] = []
    with context.stage("plan") as advance:
        for reject in catalog.fill(reader, advance):
            codes[reject.code] += 1
            if len(examples) < EXAMPLES:
                examples.append(f"{reject.position}: {reject.reason}")
    return codes, tuple(examples)


def _measure_queries(catalog: Catalog) -> tuple[list[str], dict[str, float]]:
    """Some texts, and the lengths of all in characters."""
    texts: list[str] = []
    counted: Counter[int] = Counter()
    for _, text in catalog.queries():
        counted[len(text)] += 1
        if len(texts) < KEPT:
            texts.append(text)
    if not counted:
        return texts, {"mean": 0.0, "p50": 0.0, "p99": 0.0, "max": 0.0}
    lengths = np.repeat(list(counted), list(counted.values()))
    p50, p99 = np.percentile(lengths, [50, 99], method="inverted_cdf")
    mean = round(float(lengths.mean()), 2)
    return texts, {"mean": mean, "p50": float(p50), "p99": float(p99), "max": float(max(counted))}
