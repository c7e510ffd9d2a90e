"""`manymodal serve`: an index over HTTP, with a page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from .options import IndexFolder, lines_of, say


def serve(
    index: IndexFolder,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 for any that is free.", min=0, max=65_535)] = 8000,
    key_file: Annotated[
        Path | None,
        typer.Option(help="File with a bearer key a line; or MANYMODAL_KEY in the environment.", show_default=False),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Name that requests may give as their host, as a proxy passes it on; repeat it."),
    ] = None,
    cors: Annotated[list[str] | None, typer.Option(help="Origin that may call from a browser; repeat it.")] = None,
    proxy: Annotated[
        list[str] | None,
        typer.Option(help="Address of a proxy whose X-Forwarded-For says who asks; repeat it."),
    ] = None,
    root_path: Annotated[str, typer.Option(help="Prefix under which a proxy serves it.")] = "",
    waiting: Annotated[int, typer.Option(help="Requests that may wait; more are refused with 503.", min=1)] = 64,
    timeout: Annotated[float, typer.Option(help="Seconds that a request may take.", min=0.1)] = 10.0,
    per_minute: Annotated[
        int | None, typer.Option(help="Requests a minute of one client; more get 429.", min=1)
    ] = None,
) -> None:
    """Serve an index: search by words, pictures, sounds, numbers or several at once, by HTTP and on a page."""
    from ..errors import ManymodalError

    keys = [os.environ["MANYMODAL_KEY"].strip()] if os.environ.get("MANYMODAL_KEY") else []
    if key_file is not None:
        keys += [line.strip() for line in lines_of(key_file)]
        if not keys:
            raise ManymodalError(f"{key_file} holds no key; write one a line")
    say([f"opening {index} ..."])
    from ..search_index import Index
    from ..server.run import serve as serve_index
    from ..server.settings import ServerSettings

    settings = ServerSettings(
        keys=tuple(keys),
        hosts=tuple(allow_host or ()),
        origins=tuple(cors or ()),
        proxies=tuple(proxy or ()),
        root_path=root_path,
        waiting=waiting,
        request_seconds=timeout,
        per_minute=per_minute,
    )
    serve_index(Index.open(index), host, port, settings)
