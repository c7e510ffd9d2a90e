"""Tables: the scalar columns of an item, numbers and categories, any of them missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from ..errors import ManymodalError
from .base import Encoder, Packed
from .columns import MISSING, UNKNOWN, Column
from .registry import register
from .standardise import Standardise

HIDDEN = 0.05  # of a training row's cells are made missing, and as many unknown, so that both are learned
SIZE = 8  # of the vector that stands for a category
FAR = 10.0  # standard deviations; a number further out counts as this


@register("table")
class Table(Encoder):
    """Numbers standardised, categories as learned vectors; what a missing or unknown cell counts as is learned too.

    Args:
        columns: for each column {"kind": "number", "date" or "category", "categories": [...]}, as `settings` gives.
    """

    kind: ClassVar[str] = "table"
    starts: Tensor

    def __init__(self, columns: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__()
        if not columns:
            raise ManymodalError("a table without columns; it needs at least one")
        self.columns = {name: Column(c["kind"], tuple(c.get("categories", ()))) for name, c in columns.items()}
        coded = [column.kind == "category" for column in self.columns.values()]
        self.coded = [place for place, yes in enumerate(coded) if yes]
        self.measured = [place for place, yes in enumerate(coded) if not yes]
        self.standardise = Standardise(len(self.measured))
        self.absent = nn.Parameter(torch.zeros(len(self.measured)))
        slots = [2 + len(c.categories) for c in self.columns.values() if c.kind == "category"]  # missing, unknown, seen
        starts = torch.tensor([0, *slots]).cumsum(0)  # (coded + 1,)
        self.register_buffer("starts", starts[:-1], persistent=False)
        self.vectors = nn.Embedding(int(starts[-1]), SIZE)
        self.width = 2 * len(self.measured) + SIZE * len(self.coded)

    @classmethod
    def fit(cls, values: Sequence[Any], **options: Any) -> Self:
        """Columns, categories, means and spreads of the training rows.

        Raises:
            ManymodalError: a column whose cells are of different kinds.
        """
        names = dict.fromkeys(name for value in values for name in value)
        columns = {}
        for name in names:
            try:
                column = Column.of(value.get(name) for value in values)
            except ManymodalError as error:
                raise ManymodalError(f"column {name!r}: {error}") from error
            columns[name] = {"kind": column.kind, "categories": list(column.categories)}
        encoder = cls(**{"columns": columns, **options})
        encoder.standardise.fit(encoder.pack(values).data[:, encoder.measured])
        return encoder

    def tensor(self, value: Any) -> Tensor:
        """{column: cell}, columns may be absent -> (columns,) float32; NaN where missing, categories as codes."""
        if not isinstance(value, Mapping):
            raise ManymodalError(f"a table's value came as {type(value).__name__}; needed: a dict of column to cell")
        strange = [name for name in value if name not in self.columns]
        if strange:
            raise ManymodalError(f"no column {strange[0]!r}; there are {', '.join(self.columns)}")
        cells = []
        for name, column in self.columns.items():
            try:
                cells.append(column.number(value.get(name)))
            except ManymodalError as error:
                raise ManymodalError(f"column {name!r}: {error}") from error
        return torch.tensor(cells, dtype=torch.float32)

    def forward(self, values: Packed) -> Tensor:
        """Packed (n, columns) float32 -> (n, width) float32."""
        numbers, codes = values.data[:, self.measured], values.data[:, self.coded]  # (n, measured), (n, coded)
        if self.training:
            numbers = numbers.masked_fill(torch.rand_like(numbers) < HIDDEN, MISSING)
            codes = codes.masked_fill(torch.rand_like(codes) < HIDDEN, UNKNOWN)
            codes = codes.masked_fill(torch.rand_like(codes) < HIDDEN, MISSING)
        missing = numbers.isnan()  # (n, measured)
        numbers = torch.where(missing, self.absent, self.standardise(numbers).clamp(-FAR, FAR))
        slots = (codes + 1).nan_to_num(nan=0.0).long() + self.starts  # (n, coded)
        return torch.cat([numbers, missing.float(), self.vectors(slots).flatten(1)], dim=1)  # (n, width)

    def settings(self) -> dict[str, Any]:
        """The columns with their categories."""
        columns = {name: {"kind": c.kind, "categories": list(c.categories)} for name, c in self.columns.items()}
        return {"columns": columns}
