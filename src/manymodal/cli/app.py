"""All commands, gathered."""

from __future__ import annotations

import typer

from . import compare, demo, describe, embed, evaluate, fit, import_, search

app = typer.Typer(
    name="manymodal",
    help="One space for every way of looking at a thing: learn it, measure it, search it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(describe.describe)
app.command()(fit.fit)
app.command()(evaluate.evaluate)
app.command()(compare.compare)
app.command()(embed.embed)
app.command()(search.search)
app.command()(demo.demo)
app.add_typer(import_.imports, name="import")
