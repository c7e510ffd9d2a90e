"""A cell of a table as JSON can hold it."""

from __future__ import annotations

import datetime
import math
from typing import Any


def as_json(value: Any) -> Any:
    """Numbers, booleans, texts and null as they are; dates in ISO 8601; NaN and infinity as null; the rest as text."""
    if isinstance(value, dict):
        return {key: as_json(part) for key, part in value.items()}
    if isinstance(value, list):
        return [as_json(part) for part in value]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, bool | int | float | str | None) else str(value)
