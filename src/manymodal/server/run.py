"""An application behind a port."""

from __future__ import annotations

import ipaddress
import socket
import sys
from contextlib import suppress
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from ..errors import ManymodalError
from .app import create_app
from .connection import Connection
from .settings import ServerSettings

if TYPE_CHECKING:
    from ..search_index import Index

HOST, PORT = "127.0.0.1", 8000
LOCAL = ("localhost", "127.0.0.1", "[::1]")  # what a browser on this machine calls it


class Server(uvicorn.Server):
    """Says that it is no longer ready as soon as it is told to stop, while it finishes what is under way."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGINT or SIGTERM came."""
        self.config.app.state.service.stopping = True  # type: ignore[union-attr]
        super().handle_exit(sig, frame)


def server(index: Index, settings: ServerSettings | None = None) -> Server:
    """A server for an index; `.run(sockets=[...])` serves until it is told to stop."""
    settings = settings or ServerSettings()
    config = uvicorn.Config(
        create_app(index, settings),
        log_level="warning",
        access_log=False,
        server_header=False,
        http=Connection,
        ws="none",
        timeout_keep_alive=settings.idle_seconds,
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=list(settings.proxies),
        timeout_graceful_shutdown=int(settings.drain_seconds),
        lifespan="on",
    )
    return Server(config)


def listen(host: str = HOST, port: int = PORT) -> socket.socket:
    """A socket that listens; port 0 takes any that is free.

    Raises:
        ManymodalError: the port is taken, or the address is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = str(getattr(error, "strerror", None) or error).partition(" (while")[0]
        raise ManymodalError(f"cannot listen on {host} port {port}: {reason}; name another port or address") from error
    # Connections inherit it. Without, an answer's body waits 40 ms for the acknowledgement of its head.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def serve(index: Index, host: str = HOST, port: int = PORT, settings: ServerSettings | None = None) -> None:
    """Serve an index until SIGINT or SIGTERM.

    On a loopback address and without a key, only requests for this machine's own names, and those of `settings.hosts`,
    are answered.

    Args:
        index: what is searched.
        host: address to listen on; others than this machine reach it only where it is not a loopback address.
        port: 0 takes any that is free.
        settings: limits, keys and the like.

    Raises:
        ManymodalError: the port is taken, or the address is none of this machine's.
    """
    settings = settings or ServerSettings()
    if not _is_loopback(host) and not settings.keys:
        print(f"Warning: {host} can be reached by others, and no key is set: everybody may search.", file=sys.stderr)
    name = f"[{host}]" if ":" in host else host
    if _is_loopback(host) and not settings.keys:
        settings = replace(settings, hosts=(*LOCAL, name, *settings.hosts))
    with listen(host, port) as listening:
        taken = listening.getsockname()[1]
        print(f"http://{name}:{taken}{settings.root_path}/", flush=True)
        with suppress(KeyboardInterrupt):  # which comes after all is closed
            server(index, settings).run(sockets=[listening])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
