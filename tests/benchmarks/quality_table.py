"""How well search finds, as one table in Markdown: the sample, 30,000 pictures of the generator,
and real data of whoever has it, with each model.

python -m tests.benchmarks.quality_table DIR sample made
python -m tests.benchmarks.quality_table DIR 'muge:MUGE?split=valid' --models MODEL OTHER

Work folders, stores and made data lie in DIR; what is there is gone on with.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import muge_search
from tasks.dataset.readers import parse_name
from tasks.evaluate.metrics import LABELS
from tasks.evaluate.result import Evaluation
from tasks.settings import EvaluateChoices, ProtocolName, load_settings
from tests.benchmarks.make_muge import write_muge

MADE, PAIRS = 30_000, 30_588
COLUMNS = ("R@1", "R@5", "R@10", "MR", "nDCG@10", "MAP@100")
HEAD = ("data", "model", "protocol", "queries", "pictures", "mode")
Asked = tuple[tuple[str, ProtocolName], ...]


def named(folder: Path, name: str, images: int) -> tuple[str, Asked]:
    """A data set, and the queries with protocols that measure it."""
    if name == "sample":
        return "sample:", (("sample:?split=held_out", "auto"), ("sample:", "leave-query-out"))
    if name == "made":
        data = folder / f"made-{images}"
        if not (data / "done").exists():
            write_muge(data, images, round(images * PAIRS / MADE), "valid")
            (data / "done").touch()
        name = f"muge:{data}?split=valid"
    return name, ((name, "official"), (name, "leave-query-out"))


def rows_of(measured: Evaluation, name: str) -> Iterator[str]:
    """A row for each mode; mean recall with its 95 % interval. Where leaving the query out cannot
    judge keywords there is none."""
    if measured.protocol.name == "leave-query-out" and not measured.protocol.ranks_hybrid:
        return
    queries = f"{measured.queries:,}"
    made = [name, measured.model, measured.protocol.name, queries, f"{measured.gallery:,}"]
    for mode, values in measured.metrics.items():
        cells = [f"{values[column]:.3f}" for column in COLUMNS]
        ends = measured.intervals[mode]["MR"]
        cells[COLUMNS.index("MR")] += f" [{ends.low:.3f}, {ends.high:.3f}]"
        said = f"{mode} {measured.alpha:g}" if mode == "hybrid" else mode
        yield f"| {' | '.join([*made, said, *cells])} |"


def main() -> None:
    """Index and evaluate every data set with every model."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        prog="python -m tests.benchmarks.quality_table",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("data", nargs="+", help="sample, made, or the name of a data set")
    parser.add_argument("--models", nargs="+", default=["sample"])
    parser.add_argument("--images", type=int, default=MADE, help="of made (default 30000)")
    options = parser.parse_args()
    labels = [LABELS.get(column, column) for column in COLUMNS]
    print(f"| {' | '.join([*HEAD, *labels])} |")
    print("|---" * len(HEAD) + "|---:" * len(labels) + "|", flush=True)
    for name in options.data:
        dataset, asked = named(options.folder, name, options.images)
        for number, model in enumerate(options.models):
            home = options.folder / f"home-{parse_name(dataset).slug}-{number}"
            settings = load_settings(home=str(home), model=model)
            muge_search.index(dataset, settings=settings)
            for queries, protocol in asked:
                choices = EvaluateChoices(protocol=protocol)
                measured = muge_search.evaluate(queries, settings=settings, choices=choices)
                for row in rows_of(measured, queries if name == "sample" else name):
                    print(row, flush=True)


if __name__ == "__main__":
    main()
