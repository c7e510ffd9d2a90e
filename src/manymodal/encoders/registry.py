"""Encoders by name. `@register("name")` adds one of your own; a YAML's `encoder: name` then finds it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from ..errors import ManymodalError
from .base import Encoder

_encoders: dict[str, type[Encoder]] = {}

# The built-in ones, each the module of that name, imported when asked for. A kind's own encoder has the kind's name.
BUILT_IN = ("vector", "text", "image", "audio", "series", "table", "pretrained")


def register(name: str) -> Callable[[type[Encoder]], type[Encoder]]:
    """Class decorator: make an encoder available under `name`."""

    def add(cls: type[Encoder]) -> type[Encoder]:
        _encoders[name] = cls
        return cls

    return add


def encoder_class(name: str) -> type[Encoder]:
    """The encoder registered under `name` (a built-in one's name is its kind).

    Raises:
        ManymodalError: nothing is registered under that name.
    """
    if name not in _encoders and name in BUILT_IN:
        import_module(f".{name}", __package__)
    if name not in _encoders:
        raise ManymodalError(
            f"no encoder {name!r}; there are {', '.join(known_encoders())}. "
            "Register your own with @manymodal.register(name)"
        )
    return _encoders[name]


def registered_name(encoder: Encoder) -> str:
    """The name that `encoder_class` finds this encoder's class by.

    Raises:
        ManymodalError: its class is not registered, so a saved space could not find it again.
    """
    for name, cls in _encoders.items():
        if type(encoder) is cls:
            return name
    raise ManymodalError(
        f"{type(encoder).__name__} is not registered, so a saved space could not find it again; "
        "put @manymodal.register(name) on it"
    )


def known_encoders() -> list[str]:
    """All names that `encoder_class` finds."""
    return sorted({*_encoders, *BUILT_IN})
