"""Progress bars for long work, on stderr, and quiet where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bar(description: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Show a bar while the block runs; the function it gives takes (steps done, a short remark).

    Nothing is drawn where stderr is not a terminal.
    """
    if not sys.stderr.isatty() or total <= 1:
        yield _quiet
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[remark]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=total, remark="")

        def advance(done: int, remark: str) -> None:
            progress.advance(task, done)
            if remark:
                progress.update(task, remark=remark)

        yield advance


def _quiet(done: int, remark: str) -> None:
    """A bar that nobody watches."""
