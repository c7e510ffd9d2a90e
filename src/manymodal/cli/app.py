"""All commands, gathered."""

from __future__ import annotations

import typer

from . import change, compare, demo, describe, embed, evaluate, fit, import_, index, search, serve

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
app.command()(index.index)
app.command()(change.add)
app.command()(change.remove)
app.command()(change.compact)
app.command()(search.search)
app.command()(serve.serve)
app.command()(demo.demo)
app.add_typer(import_.imports, name="import")
