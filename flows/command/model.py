"""`muge model`: what a model is and whether it works here, and other forms of it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from flows.command.options import AsJson, options
from flows.command.output import explained, print_json, show, spoken
from flows.signatures import Given
from tasks.options import flags_of
from tasks.settings import Content, Encoding

SHOW = "show"


class ModelGroup(TyperGroup):
    """Commands about models; what is none of their names is a model to show."""

    default = SHOW

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments with the command to show a model, where none is named."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = [self.default, *args]
        return super().parse_args(ctx, args)


model_app = typer.Typer(
    cls=ModelGroup,
    help="Show a model (`muge model MODEL`), or convert one.",
    rich_markup_mode=None,
)


@model_app.command(SHOW)
@options(flags_of(Encoding))
def show_model(
    model: Annotated[
        str, typer.Argument(help=Content.model_fields["model"].description)
    ] = "sample",
    given: Given = Given(),
    as_json: AsJson = False,
) -> None:
    """Show a model's family, dimension, size, revision and files, and whether it works here."""
    with explained():
        from tasks.encode.model.card import model_card

        card = model_card(model, given.settings)
        if as_json:
            from dataclasses import asdict

            print_json(asdict(card))
        else:
            from tasks.report.inspection import card_tables

            show(card_tables(card, spoken()))


@model_app.command()
def convert(
    model: Annotated[str, typer.Argument(help="A Chinese-CLIP in any form: a file or a folder.")],
    out: Annotated[str, typer.Argument(help="Folder to make: ModelScope's layout, safetensors.")],
    as_json: AsJson = False,
) -> None:
    """Write a Chinese-CLIP of any form in ModelScope's layout, and check that its vectors stay."""
    with explained():
        from dataclasses import asdict

        from tasks.encode.model.chinese_clip.convert import convert_model

        done = convert_model(model, out)
        if as_json:
            print_json(asdict(done))
        else:
            from tasks.report.inspection import conversion_tables

            show(conversion_tables(done, spoken()))
