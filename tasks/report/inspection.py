"""A data set's profile and a model's card as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tasks.encode.stage.oddities import SAID
from tasks.inspect.columns import TableProfile
from tasks.inspect.cost import FREE_DIMENSION, FREE_DOCUMENTS, Estimate
from tasks.inspect.dataset import DatasetProfile
from tasks.inspect.pictures import PictureProfile
from tasks.report.texts import one_line

if TYPE_CHECKING:
    from tasks.encode.model.card import ModelCard
    from tasks.encode.model.chinese_clip.convert import Conversion
    from tasks.index.report import IndexReport
    from tasks.reindex.report import ReindexReport

_MINUTE, _HOUR = 60, 3600
CELL_LENGTH = 200


def profile_tables(profile: DatasetProfile) -> RenderableType:
    """What a data set holds, its pictures, what is wrong with it, and what it would cost."""
    lengths = profile.query_characters
    facts = {
        "data set": profile.dataset,
        "rows": f"{profile.rows:,}, read in {profile.read_seconds:.1f} s",
        "images": f"{profile.images:,}",
        "queries": f"{profile.queries:,}",
        "pairs": f"{profile.pairs:,}",
        "query length": f"{lengths['mean']:.1f} characters on average, 99 % at most "
        f"{lengths['p99']:.0f}, longest {lengths['max']:.0f}",
        "duplicates": f"{profile.duplicates:,} rows repeat another",
        "images without query": f"{profile.images_without_queries:,}",
        "queries without image": f"{profile.queries_without_images:,}",
        "missing images": f"{profile.missing_images:,} pairs name a picture that is not there",
        "rejects": _counted(profile.rejects),
        **({"to download": f"{missing:,} rows"} if (missing := profile.not_downloaded) else {}),
        **({"links": outside(profile.links_outside)} if profile.links_outside else {}),
        **({"not looked at": not_looked_at(profile.ignored)} if profile.ignored else {}),
        **({"copies": copied(profile.copies, profile.most_copied)} if profile.copies else {}),
        **_picture_facts(profile.pictures, profile.images),
        **(_cost_facts(profile.estimate) if profile.estimate else {}),
    }
    problems = [*profile.examples, *profile.pictures.examples]
    if not profile.images:
        problems.append("it has no usable picture, so that `muge index` would refuse it")
    return Group(_grid(facts), *_examples(problems))


def table_tables(table: TableProfile) -> RenderableType:
    """What was recognised of a table, and its first rows."""
    facts = {
        "file": f"{table.file}{f' ({table.written})' if table.written else ''}",
        **{f"{role} from": name for role, name in table.columns.items() if name},
        **({} if table.columns["image"] else {"image from": "no column was found: ?image=COLUMN"}),
        "fields": ", ".join(f"{name}:{kind}" for name, kind in table.fields.items()) or "none",
        **({"other columns": ", ".join(table.unused) + " (--fields)"} if table.unused else {}),
    }
    rows = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("row", "id", "text", "picture", *table.fields):
        rows.add_column(heading, overflow="fold")
    for row in table.rows:
        kept = [str(row.fields.get(name, "")) for name in table.fields]
        cells = [row.position, row.id, row.problem or row.text, row.picture, *kept]
        rows.add_row(*(Text(one_line(cell)[:CELL_LENGTH]) for cell in cells))
    return Group(_grid(facts), rows)


def outside(count: int) -> str:
    """What to say of files that links lead to."""
    return f"{count:,} files lie outside the data set's folder, links lead there; --no-links: none"


def account_lines(report: IndexReport | ReindexReport) -> list[str]:
    """What to say of what a run did not index, or should not have been given."""
    account = report.account
    lines = [not_looked_at(report.ignored)] if report.ignored else []
    if count := account.get("copied_pictures"):
        lines.append(copied(count, report.most_copied))
    for oddity, said in SAID.items():
        if count := account.get(f"{oddity}_pictures"):
            some = ", ".join(report.odd_examples.get(oddity, ()))
            lines.append(f"{count:,} pictures are {said}, for example image {some}")
    if count := account.get("queries_without_image"):
        lines.append(f"{count:,} queries name no picture and were not indexed")
    return lines


def copied(count: int, most: str) -> str:
    """What to say of pictures that are there more than once."""
    return f"{count:,} pictures are copies of an earlier one, most often {most}"


def not_looked_at(ignored: Mapping[str, int]) -> str:
    """What to say of a folder's other files, by cause."""
    causes = ", ".join(f"{count:,} {cause}" for cause, count in ignored.items())
    return f"{sum(ignored.values()):,} files of the folder are no pictures: {causes}"


def card_tables(card: ModelCard) -> RenderableType:
    """What a model is, and the first values of its self-test vectors."""
    parameters = ", ".join(f"{name} {count:,}" for name, count in card.parameters.items())
    test = card.self_test
    facts = {
        "model": f"{card.name} {card.revision}".rstrip(),
        "folder": card.folder,
        "family": f"{card.family}: {card.architecture}" if card.architecture else card.family,
        "dimension": f"{card.dimension}",
        "pictures": f"{card.resolution} x {card.resolution} pixels",
        "parameters": f"{sum(card.parameters.values()):,} ({parameters})",
        "preprocessing": card.preprocessing,
        "device": f"{card.device}, loaded in {card.load_seconds:.1f} s",
        **{
            f"file {file.name}": f"{size_said(file.bytes)}, sha256 {file.sha256[:16]}"
            for file in card.files
        },
        f"vector of {test.text}": _vector(test.text_vector, test.norms[0]),
        "vector of black": _vector(test.picture_vector, test.norms[1]),
    }
    return _grid(facts)


def conversion_tables(done: Conversion) -> RenderableType:
    """What a conversion made, and that it is the same model."""
    return _grid(
        {
            "source": f"{done.source}, {done.family}",
            "towers": f"{done.architecture}; dimension {done.dimension}",
            "made": f"{done.out}, {size_said(done.bytes)} of weights in {_time(done.seconds)}",
            "self-check": f"{done.checked} vectors before and after, largest difference "
            f"{done.largest_difference:.1e}",
        }
    )


def _picture_facts(pictures: PictureProfile, images: int) -> dict[str, str]:
    unreadable = sum(pictures.unreadable.values())
    share = "all" if pictures.checked == images else f"{pictures.checked:,} of {images:,}"
    return {
        "pictures decoded": f"{share}, {pictures.per_second:,.0f} a second on one core",
        "unreadable": _counted(pictures.unreadable) if unreadable else "0",
        **({"odd": _counted(pictures.odd)} if pictures.odd else {}),
        "formats": _counted(pictures.formats),
        "sizes": _counted(pictures.sizes),
        "file size": f"{size_said(pictures.mean_bytes)} on average, largest "
        f"{size_said(pictures.largest_bytes)}",
    }


def _cost_facts(cost: Estimate) -> dict[str, str]:
    limits = f"{FREE_DOCUMENTS:,} documents of {FREE_DIMENSION} dimensions"
    return {
        "model": f"{cost.model}, {cost.dimension} dimensions, on {cost.device}: "
        f"{cost.images_per_second:,.1f} images/s, {cost.texts_per_second:,.1f} texts/s",
        "time to index here": f"about {_time(cost.seconds)}",
        "store": f"{cost.documents:,} documents, "
        f"about {size_said(cost.store_bytes)} before indexes",
        "free DashVector": f"{'fits' if cost.fits_free_cluster else 'does not fit'} ({limits})",
    }


def _grid(facts: Mapping[str, str]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, Text(one_line(value)))
    return table


def _examples(lines: Sequence[str]) -> list[Text]:
    return [Text(f"- {one_line(line)}") for line in lines]


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "0"


def _vector(values: Sequence[float], norm: float) -> str:
    return f"{' '.join(f'{value:+.5f}' for value in values)} ... (norm {norm:.4f})"


def size_said(count: float) -> str:
    """So many bytes, for people."""
    for unit in ("bytes", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _time(seconds: float) -> str:
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / _MINUTE:.0f} min" if seconds < 2 * _HOUR else f"{seconds / _HOUR:.1f} h"
