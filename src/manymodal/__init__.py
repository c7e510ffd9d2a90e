"""One space for every way of looking at a thing.

The public names are imported when they are first used, so that `import manymodal` and `manymodal --help` stay quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .collection import Collection, read_collection, read_config
    from .compose import Part, compose
    from .embeddings import Embeddings
    from .encoders import Encoder, Packed, register
    from .errors import ManymodalError
    from .evaluation import evaluate
    from .requests import QueryPart, Request
    from .search_index import Index
    from .space import Space, load

_HOME = {
    "Collection": "collection",
    "Embeddings": "embeddings",
    "Encoder": "encoders",
    "Index": "search_index",
    "ManymodalError": "errors",
    "Packed": "encoders",
    "Part": "compose",
    "QueryPart": "requests",
    "Request": "requests",
    "Space": "space",
    "compose": "compose",
    "evaluate": "evaluation",
    "load": "space",
    "read_collection": "collection",
    "read_config": "collection",
    "register": "encoders",
}

__all__ = [
    "Collection",
    "Embeddings",
    "Encoder",
    "Index",
    "ManymodalError",
    "Packed",
    "Part",
    "QueryPart",
    "Request",
    "Space",
    "compose",
    "evaluate",
    "load",
    "read_collection",
    "read_config",
    "register",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'manymodal' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
