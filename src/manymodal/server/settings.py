"""What the server allows and how it is run; every figure that `/index` names under `limits` is here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..errors import ManymodalError


@dataclass(frozen=True)
class Limits:
    """The most that one request may ask or bring.

    Args:
        body_bytes: of a body, as sent.
        k: hits.
        parts: of a query.
        values: raw values (or vectors) of a part; also the values of one `/embed`.
        ids: stored items that a part asks with.
        classes: class names of one `/classify`.
        page_items: items of one page of `/items`.
        text_characters: of one text, and of any name or id.
        where_characters: of a filter.
        picture_pixels: of one picture, width times height.
        request_pixels: of all pictures of a request.
        sound_seconds: of one sound.
        request_sound_seconds: of all sounds of a request.
    """

    body_bytes: int = 16_000_000
    k: int = 1_000
    parts: int = 16
    values: int = 16
    ids: int = 64
    classes: int = 200
    page_items: int = 100
    text_characters: int = 10_000
    where_characters: int = 2_000
    picture_pixels: int = 25_000_000
    request_pixels: int = 100_000_000
    sound_seconds: float = 60.0
    request_sound_seconds: float = 240.0


@dataclass(frozen=True)
class ServerSettings:
    """How the application behaves.

    Args:
        limits: of one request.
        keys: bearer keys, of printable ASCII characters; with none, everybody is let in.
        hosts: names that a request's Host may give; any, unless named; `/live` and `/ready` answer to all. A page of a
            stranger's that has its name lead to this machine (DNS rebinding) gives another one.
        origins: web origins whose pages may call ("https://example.org"); none unless named.
        root_path: prefix under which a proxy serves this ("/search"); empty for none.
        proxies: addresses of proxies whose X-Forwarded-For is believed.
        waiting: requests that may wait for the index; the next one is answered 503.
        batch: waiting searches answered together.
        readers: threads that read items and media.
        held_bytes: of all bodies in memory at a time; beyond, 503.
        request_seconds: from a request's being read to its answer; beyond, 504.
        head_seconds: for the head of a request to arrive; beyond, the connection closes.
        body_seconds: for a body to arrive; beyond, 408.
        per_minute: requests of one client (its key, else its address) in a minute; None for no limit; beyond, 429.
        refresh_seconds: how old a look at the index may be before it is looked for writes of other processes.
        idle_seconds: that a connection is kept between two requests; longer than most proxies keep theirs, which else
            would send a request into one that closes.
        drain_seconds: on shutdown, for requests under way.
        media_seconds: that a browser may keep a picture or sound without asking again.

    Raises:
        ManymodalError: a key, host, origin or prefix that cannot be one, or a limit that would let nobody in.
    """

    limits: Limits = field(default_factory=Limits)
    keys: tuple[str, ...] = field(default=(), repr=False)
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    root_path: str = ""
    proxies: tuple[str, ...] = ()
    waiting: int = 64
    batch: int = 32
    readers: int = 4
    held_bytes: int = 256_000_000
    request_seconds: float = 10.0
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    per_minute: int | None = None
    refresh_seconds: float = 1.0
    idle_seconds: int = 75
    drain_seconds: float = 10.0
    media_seconds: int = 300

    def __post_init__(self) -> None:
        """Refuse what would silently open or close the service."""
        if not all(key.strip() for key in self.keys):
            raise ManymodalError("an empty bearer key would let everybody in; give a key, or no keys")
        if not all(re.fullmatch(r"[!-~]([ -~]*[!-~])?", key) for key in self.keys):
            raise ManymodalError(
                "a bearer key has a sign that is not ASCII, or a blank at an end, which no client can send"
            )
        for host in self.hosts:
            if not host or "/" in host:
                raise ManymodalError(f"host {host!r}; needed: a name alone, as in pets.example.org")
        for origin in self.origins:
            if not origin.startswith(("http://", "https://")) or origin.count("/") != 2:
                raise ManymodalError(f"origin {origin!r}; needed: scheme and host alone, as in https://example.org")
        for name in ("waiting", "batch", "readers", "held_bytes", "request_seconds", "per_minute"):
            if (most := getattr(self, name)) is not None and not most > 0:
                raise ManymodalError(f"{name} is {most}; needed: more than 0")
        if self.root_path and (not self.root_path.startswith("/") or self.root_path.endswith("/")):
            raise ManymodalError(f"root path {self.root_path!r}; needed: as in /search, or empty")
