"""A data set's profile and a model's card as tables for a terminal, in its language."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
from tasks.report.wording import Language, said_in

if TYPE_CHECKING:
    from tasks.encode.model.card import ModelCard
    from tasks.encode.model.chinese_clip.convert import Conversion
    from tasks.index.report import IndexReport
    from tasks.reindex.report import ReindexReport

Told = Callable[[str], str]
"""A line of English in another language."""

_MINUTE, _HOUR = 60, 3600
CELL_LENGTH = 200


def _as_it_is(line: str) -> str:
    return line


def profile_tables(
    profile: DatasetProfile, language: Language = "en", told: Told = _as_it_is
) -> RenderableType:
    """What a data set holds, its pictures, what is wrong with it, and what it would cost; `told`
    says whole lines in that language."""
    say = _Saying(language)
    lengths, absent = profile.query_characters, profile.not_downloaded
    longest = {"most": f"{lengths['p99']:.0f}", "longest": f"{lengths['max']:.0f}"}
    facts = {
        "dataset": profile.dataset,
        "rows": say("read", rows=profile.rows, seconds=f"{profile.read_seconds:.1f}"),
        "images": f"{profile.images:,}",
        "queries": f"{profile.queries:,}",
        "pairs": f"{profile.pairs:,}",
        "length": say("lengths", mean=f"{lengths['mean']:.1f}", **longest),
        "duplicates": say("repeated", count=profile.duplicates),
        "images_without_query": f"{profile.images_without_queries:,}",
        "queries_without_image": f"{profile.queries_without_images:,}",
        "missing": say("not_there", count=profile.missing_images),
        "rejects": _counted(profile.rejects),
        **({"to_download": say("rows_of", count=absent)} if absent else {}),
        **({"links": told(outside(profile.links_outside))} if profile.links_outside else {}),
        **({"ignored": told(not_looked_at(profile.ignored))} if profile.ignored else {}),
        **({"copies": told(copied(profile.copies, profile.most_copied))} if profile.copies else {}),
        **_picture_facts(profile.pictures, profile.images, say),
        **(_cost_facts(profile.estimate, say) if profile.estimate else {}),
    }
    problems = [*profile.examples, *profile.pictures.examples]
    shown = [*map(told, problems), *([] if profile.images else [say("unusable")])]
    return Group(_grid({say.label(key): value for key, value in facts.items()}), *_examples(shown))


def table_tables(
    table: TableProfile, language: Language = "en", told: Told = _as_it_is
) -> RenderableType:
    """What was recognised of a table, and its first rows; languages as of `profile_tables`."""
    say = _Saying(language)
    fields = ", ".join(f"{name}:{kind}" for name, kind in table.fields.items())
    facts = {
        say.label("file"): f"{table.file}{f' ({told(table.written)})' if table.written else ''}",
        **{say.label(f"{role}_from"): name for role, name in table.columns.items() if name},
        **({} if table.columns["image"] else {say.label("image_from"): say("no_column")}),
        say.label("fields"): fields or say("none"),
    }
    if table.unused:
        facts[say.label("unused")] = ", ".join(table.unused) + " (--fields)"
    rows = Table(box=SIMPLE_HEAD, pad_edge=False)
    headings = [say.label(f"row_{name}") for name in ("place", "id", "text", "picture")]
    for heading in (*headings, *table.fields):
        rows.add_column(heading, overflow="fold")
    for row in table.rows:
        kept = [str(row.fields.get(name, "")) for name in table.fields]
        text = told(row.problem) if row.problem else row.text
        cells = [row.position, row.id, text, row.picture, *kept]
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


def card_tables(card: ModelCard, language: Language = "en") -> RenderableType:
    """What a model is, and the first values of its self-test vectors."""
    parameters = ", ".join(f"{name} {count:,}" for name, count in card.parameters.items())
    test, say = card.self_test, _Saying(language)
    facts = {
        say.label("model"): f"{card.name} {card.revision}".rstrip(),
        say.label("folder"): card.folder,
        say.label("family"): ": ".join(filter(None, (card.family, card.architecture))),
        say.label("dimension"): f"{card.dimension}",
        say.label("pictures"): say("square", side=card.resolution),
        say.label("parameters"): f"{sum(card.parameters.values()):,} ({parameters})",
        say.label("preprocessing"): card.preprocessing,
        say.label("device"): say("loaded", device=card.device, seconds=f"{card.load_seconds:.1f}"),
        **{
            f"{say.label('file')} {file.name}": f"{size_said(file.bytes)}, "
            f"sha256 {file.sha256[:16]}"
            for file in card.files
        },
        say("vector_of", what=test.text): _vector(test.text_vector, test.norms[0]),
        say("vector_of_black"): _vector(test.picture_vector, test.norms[1]),
    }
    return _grid(facts)


def conversion_tables(done: Conversion, language: Language = "en") -> RenderableType:
    """What a conversion made, and that it is the same model."""
    say, far = _Saying(language), f"{done.largest_difference:.1e}"
    took = {"size": size_said(done.bytes), "time": _time(done.seconds)}
    return _grid(
        {
            say.label("source"): f"{done.source}, {done.family}",
            say.label("towers"): say(
                "towers", architecture=done.architecture, dimension=done.dimension
            ),
            say.label("made"): say("made", out=done.out, **took),
            say.label("check"): say("checked", count=done.checked, difference=far),
        }
    )


def _picture_facts(pictures: PictureProfile, images: int, say: _Saying) -> dict[str, str]:
    unreadable = sum(pictures.unreadable.values())
    rate = f"{pictures.per_second:,.0f}"
    decoded = "all_decoded" if pictures.checked == images else "some_decoded"
    sizes = (size_said(pictures.mean_bytes), size_said(pictures.largest_bytes))
    return {
        "decoded": say(decoded, checked=pictures.checked, images=images, rate=rate),
        "unreadable": _counted(pictures.unreadable) if unreadable else "0",
        **({"odd": _counted(pictures.odd)} if pictures.odd else {}),
        "formats": _counted(pictures.formats),
        "sizes": _counted(pictures.sizes),
        "file_size": say("bytes", mean=sizes[0], largest=sizes[1]),
    }


def _cost_facts(cost: Estimate, say: _Saying) -> dict[str, str]:
    made = {"model": cost.model, "dimension": cost.dimension, "device": cost.device}
    rates = {"images": f"{cost.images_per_second:,.1f}", "texts": f"{cost.texts_per_second:,.1f}"}
    limits = {"documents": FREE_DOCUMENTS, "dimension": FREE_DIMENSION}
    size = size_said(cost.store_bytes)
    return {
        "model": say("rates", **made, **rates),
        "time": say("about", time=_time(cost.seconds)),
        "store": say("store_size", documents=cost.documents, size=size),
        "free": say("fits" if cost.fits_free_cluster else "does_not_fit", **limits),
    }


@dataclass(frozen=True, slots=True)
class _Saying:
    """Says what `muge inspect` and `muge model` have to say."""

    language: Language

    def __call__(self, key: str, **values: object) -> str:
        return said_in(self.language, f"inspect.{key}", **values)

    def label(self, key: str) -> str:
        """What stands before a fact."""
        return said_in(self.language, f"inspect.label.{key}")


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
