"""From the index to the wire."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from .settings import ServerSettings

if TYPE_CHECKING:
    from ..index.exact import Hit
    from ..index.items import Item
    from ..index.records import Shown
    from ..search_index import Index

SAFE_TYPE = re.compile(r"(image/(png|jpeg|webp|gif|bmp|tiff)|audio/[a-z0-9.+-]+)")  # no SVG: it may hold script


def reply(content: Any) -> Response:
    """JSON; dates as ISO 8601, bytes as base64, what is no number (NaN) as null."""
    body = to_json(content, inf_nan_mode="null", bytes_mode="base64", fallback=str)
    return Response(body, media_type="application/json")


def hits_out(hits: Sequence[Hit], target: str) -> list[dict[str, Any]]:
    """Hits, each with what to show of the value that matched."""
    return [
        {
            "id": hit.id,
            "score": hit.score,
            "value": hit.value,
            "parts": hit.parts,
            "columns": hit.columns,
            "shown": None if hit.shown is None else shown_out(hit.id, target, hit.shown),
        }
        for hit in hits
    ]


def shown_out(id: str, modality: str, shown: Shown) -> dict[str, Any]:
    """A value, and where its picture or sound is: under the address of the service, whatever a proxy makes of that."""
    query = urlencode({"id": id, "modality": modality, "place": shown.place})
    media = None if shown.type is None else f"/media?{query}"
    return {"place": shown.place, "text": shown.text, "type": shown.type, "media": media}


def item_out(item: Item) -> dict[str, Any]:
    """An item with all its values."""
    values = {name: [shown_out(item.id, name, each) for each in shown] for name, shown in item.values.items()}
    return {"id": item.id, "label": item.label, "columns": item.columns, "values": values}


def index_out(index: Index, settings: ServerSettings) -> dict[str, Any]:
    """What is served, and what is allowed."""
    modalities = {
        name: {
            "kind": each.kind,
            "per": each.per,
            "queryable": each.queryable,
            "items": each.items,
            "values": each.values,
            "recall": each.recall,
            "cells": {
                column: {"kind": cell.kind, "categories": list(cell.categories)} for column, cell in each.cells.items()
            },
            "width": each.width,
        }
        for name, each in index.modalities.items()
    }
    return {
        "name": index.name,
        "version": index.version,
        "items": index.items,
        "d": index.d,
        "engine": index.engine,
        "calibrated": index.calibrated,
        "corrections": list(index.corrections),
        "space": index.fingerprint,
        "modalities": modalities,
        "columns": index.columns,
        "targets": [*index.modalities, "item"],
        "limits": dataclasses.asdict(settings.limits)
        | {
            "waiting": settings.waiting,
            "request_seconds": settings.request_seconds,
            "body_seconds": settings.body_seconds,
        }
        | ({} if settings.per_minute is None else {"requests_per_minute": settings.per_minute}),
    }


def media_out(request: Request, content: bytes, media_type: str, seconds: int) -> Response:
    """Stored bytes as what they are, kept by browsers for a while, in whole or the one range that is asked for."""
    tag = f'"{hashlib.blake2b(content, digest_size=16).hexdigest()}"'
    headers = {
        "ETag": tag,
        "Cache-Control": f"private, max-age={seconds}",
        "Vary": "Authorization",  # what a key has opened is not shown without it
        "Accept-Ranges": "bytes",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    media_type = media_type if SAFE_TYPE.fullmatch(media_type) else "application/octet-stream"
    part = re.fullmatch(r"bytes=(\d{1,15})-(\d{0,15})", request.headers.get("range", ""), re.ASCII)
    if part is None:
        return Response(content, headers=headers, media_type=media_type)
    first = int(part[1])
    last = min(int(part[2] or len(content)), len(content) - 1)
    if first > last:
        return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{len(content)}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
    return Response(content[first : last + 1], 206, headers, media_type=media_type)
