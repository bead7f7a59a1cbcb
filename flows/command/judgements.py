"""The commands `muge judgements`: what people said of hits, as files."""

from __future__ import annotations

import shlex

import typer

from flows.command.options import AsJson, options
from flows.command.output import explained, print_json, sentence
from flows.signatures import Given
from tasks.options import flags_of
from tasks.settings import ExportedJudgements, Place

judgements_app = typer.Typer(
    help="What people said of hits on the search page.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@judgements_app.callback()
def judgements() -> None:
    """What people said of hits on the search page."""


@judgements_app.command("export")
@options(flags_of(ExportedJudgements), flags_of(Place))
def export_judgements(given: Given, as_json: AsJson = False) -> None:
    """Count the thumbs on hits and write them to files: for evaluations, and for other tools."""
    with explained():
        from tasks.judge.exported import export_judgements as export

        wanted = given.read(ExportedJudgements)
        found = export(given.settings, wanted)
        if as_json:
            from dataclasses import asdict

            print_json(asdict(found))
            return
        counts = ("collection", "thumbs", "users", "queries", "pictures", "fitting")
        print(sentence("judged.counted", **{name: getattr(found, name) for name in counts}))
        if found.contested:
            print(sentence("judged.contested", count=found.contested))
        for file in found.files:
            print(sentence("judged.written", file=file))
        if wanted.qrels and wanted.queries:
            line = ["muge", "evaluate", f"jsonl:{wanted.queries}", "--judgements", wanted.qrels]
            print(sentence("judged.measure", line=f"{shlex.join(line)}{given.typed()}"))
        else:
            print(sentence("judged.files"))
