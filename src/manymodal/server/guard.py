"""Around every request: headers that browsers obey, keys, a client's share, and no error that shows its inside."""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import re
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .metrics import Metrics
from .problems import Problem
from .settings import ServerSettings

log = logging.getLogger("manymodal.server")

HEALTH = ("/live", "/ready")  # asked by those who watch, under whatever name they know this machine
OPEN = ("/", *HEALTH, "/docs", "/openapi.json")  # these, and what lies under /page and /docs, tell nothing
OPEN_UNDER = ("/page/", "/docs/")
CLIENTS = 10_000  # remembered at a time
POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
DOCS_POLICY = POLICY + "; style-src 'self' 'unsafe-inline'"  # Swagger UI puts styles into its elements
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # pieces of two versions of the page do not fit together
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """Outermost: security headers, metrics, and a bare 500 for what nobody foresaw (the log has its trace).

    It also puts the prefix before a path from which a proxy has taken it away, so that routes are found either way, and
    has HEAD answered as GET is, without the body.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, root_path: str) -> None:
        self.app, self.metrics, self.root_path = app, metrics, root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0
        path, head = route_path(scope, self.root_path), scope["method"] == "HEAD"
        # Under the bare prefix the page's relative addresses would lead elsewhere.
        bare = self.root_path and scope["path"] == self.root_path
        app = RedirectResponse(self.root_path + "/") if bare else self.app
        scope = {**scope, "root_path": self.root_path, "path": self.root_path + path}
        scope["method"] = "GET" if head else scope["method"]

        async def guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if path == "/docs" or path.startswith("/docs/"):
                    headers["Content-Security-Policy"] = DOCS_POLICY
            elif head:
                message = {**message, "body": b""}
            await send(message)

        try:
            await app(scope, receive, guarded)
        except Exception:
            log.exception("unexpected error in %s %s", scope["method"], _route(scope))
            if not status:
                await Problem(500, "an unexpected error; the server's log has it").response()(scope, receive, guarded)
        finally:
            self.metrics.requests.labels(_route(scope), str(status)).inc()
            self.metrics.seconds.labels(_route(scope)).observe(time.perf_counter() - started)


@dataclass
class Gate:
    """Lets in who asks for this host, has a key and has not used up its share."""

    app: ASGIApp
    settings: ServerSettings
    metrics: Metrics
    _shares: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict, init=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 401, 421 or 429."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self.app(scope, receive, send)
        else:
            await refusal.response()(scope, receive, send)

    def _refusal(self, scope: Scope) -> Problem | None:
        path = route_path(scope, self.settings.root_path)
        host = _name_of(Headers(scope=scope).get("host", ""))
        if self.settings.hosts and path not in HEALTH and host not in map(_name_of, self.settings.hosts):
            self.metrics.refused.labels("host").inc()
            return Problem(421, f"this server does not answer for {host!r}; --allow-host names those it answers for")
        if path in OPEN or path.startswith(OPEN_UNDER):
            return None
        given = Headers(scope=scope).get("authorization", "")
        scheme, _, key = given.partition(" ")
        if self.settings.keys and not (scheme.lower() == "bearer" and self._known(key.strip())):
            self.metrics.refused.labels("key").inc()
            return Problem(401, "a bearer key is needed: Authorization: Bearer <key>", {"WWW-Authenticate": "Bearer"})
        client = scope.get("client") or ("", 0)
        seconds = self._wait(_digest(key).hex() if self.settings.keys else client[0])
        if seconds:
            self.metrics.refused.labels("client").inc()
            most = f"{self.settings.per_minute} requests a minute are allowed"
            return Problem(429, f"{most}; try again in {seconds} seconds", {"Retry-After": str(seconds)})
        return None

    def _known(self, key: str) -> bool:
        """Whether it is one of the keys; takes the same time whichever it is, and however near."""
        given = _digest(key)
        return sum(hmac.compare_digest(given, _digest(known)) for known in self.settings.keys) > 0

    def _wait(self, client: str) -> int:
        """Seconds until a client may ask again, 0 for now: a bucket of a minute's requests that fills up steadily."""
        most = self.settings.per_minute
        if most is None:
            return 0
        now = time.monotonic()
        left, seen = self._shares.pop(client, (float(most), now))
        left = min(most, left + (now - seen) * most / 60)
        self._shares[client] = (left - 1 if left >= 1 else left, now)
        if len(self._shares) > CLIENTS:
            self._shares.popitem(last=False)
        return 0 if left >= 1 else math.ceil((1 - left) * 60 / most)


def _name_of(host: str) -> str:
    """A Host header without its port, and without the dot that may end a name."""
    return re.sub(r":\d+$", "", host).lower().removesuffix(".")


def route_path(scope: Scope, root_path: str) -> str:
    """A request's path without the prefix under which a proxy serves it, which some proxies take away themselves."""
    path: str = scope["path"]
    return path.removeprefix(root_path) or "/" if path == root_path or path.startswith(root_path + "/") else path


def _route(scope: Scope) -> str:
    """The route that answered; one word for all that is none, since metrics are kept for each."""
    return getattr(scope.get("route"), "path", None) or "other"


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
