"""Texts: hashed n-grams, weighted by rarity, in the directions in which the training texts differ most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ManymodalError
from .base import Encoder, Packed
from .directions import Bags, right_singular
from .grams import BUCKETS, grams
from .registry import register

ROWS = 16_384  # n-grams kept unless said
SAMPLE = 16_384  # texts that the directions are taken from
NEGLIGIBLE = 1e-3  # a direction with a smaller part of the strongest one's spread is rounding


@register("text")
class Text(Encoder):
    """Latent semantic analysis of n-grams, in any language and script: fitted in seconds, then fixed.

    A text is the sum of its n-grams' vectors, weighted by log(1 + n / df) and divided by the weights' norm. The
    vectors are the leading right singular vectors of the training texts' matrix of such weights (Deerwester et al.
    1990), each direction divided by the square root of its singular value, half-way between leaving the strongest in
    charge and making all equal. With a trained head behind it this did clearly better than vectors learned from
    random ones, and faster. N-grams that training never saw, or too rarely, are left out; in training some are
    dropped at random.

    Args:
        rows: n-grams kept, the most frequent ones.
        width: directions kept.
        dropout: probability with which a training text loses an n-gram.
    """

    kind: ClassVar[str] = "text"
    ragged: ClassVar[bool] = True
    row: Tensor
    rarity: Tensor
    table: Tensor
    centre: Tensor

    def __init__(self, rows: int, width: int = 512, dropout: float = 0.2) -> None:
        super().__init__()
        self.rows, self.width, self.dropout = rows, width, dropout
        self.register_buffer("row", torch.zeros(BUCKETS, dtype=torch.int32))  # of each bucket; 0 is "left out"
        self.register_buffer("rarity", torch.zeros(rows + 1))
        self.register_buffer("table", torch.zeros(rows + 1, width))
        self.register_buffer("centre", torch.zeros(width))

    @classmethod
    def fit(cls, values: Sequence[Any], **options: Any) -> Self:
        """N-grams, their rarity and their directions, from the training texts; at most ROWS n-grams unless given."""
        packed = cls(rows=0, width=1).pack(values)
        frequency = document_frequency(packed)  # (BUCKETS,)
        rows = min(options.pop("rows", ROWS), int((frequency > 0).sum()))
        encoder = cls(rows=rows, **options)
        kept = frequency.sort(descending=True, stable=True).indices[:rows]  # (rows,)
        encoder.row[kept] = torch.arange(1, rows + 1, dtype=torch.int32)
        encoder.rarity[1:] = torch.log1p(len(packed) / frequency[kept])
        encoder._take_directions(packed)
        return encoder

    def tensor(self, value: Any) -> Tensor:
        """A `str`, empty allowed -> (n-grams,) int32 buckets."""
        if not isinstance(value, str):
            raise ManymodalError(f"a text came as {type(value).__name__}; needed: str")
        return torch.from_numpy(grams(value))

    def forward(self, values: Packed) -> Tensor:
        """Packed int32 buckets -> (n, width) float32."""
        assert values.offsets is not None
        row, weight = self._weighted(values)
        bags = F.embedding_bag(row, self.table, values.offsets[:-1], mode="sum", per_sample_weights=weight)
        return bags - self.centre  # (n, width)

    def settings(self) -> dict[str, Any]:
        """Sizes and dropout."""
        return {"rows": self.rows, "width": self.width, "dropout": self.dropout}

    def _weighted(self, values: Packed) -> tuple[Tensor, Tensor]:
        """Row and weight of every n-gram, each (total,). A text's weights have norm 1; 0 where none is known."""
        row = self.row[values.data.long()].long()  # (total,)
        weight = F.dropout(self.rarity[row], self.dropout, self.training)  # (total,)
        owner = torch.repeat_interleave(values.lengths)  # (total,)
        squares = weight.new_zeros(len(values)).index_add(0, owner, weight.square())  # (n,)
        return row, weight * squares.clamp_min(1e-12).rsqrt()[owner]

    @torch.no_grad()
    def _take_directions(self, packed: Packed) -> None:
        self.eval()
        if len(packed) > SAMPLE:
            packed = packed.take(torch.arange(SAMPLE) * len(packed) // SAMPLE)
        assert packed.offsets is not None
        row, weight = self._weighted(packed)
        self.train()
        matrix = Bags(row, weight, packed.offsets[:-1], self.rows + 1)
        strength, vectors = right_singular(matrix, self.width)  # (k,), (rows + 1, k)
        kept = strength > NEGLIGIBLE * strength.max()  # (k,); texts that depend on each other leave noise in the others
        if not kept.any():
            return  # no text has an n-gram
        table = vectors[:, kept] / strength[kept].sqrt()  # (rows + 1, kept)
        bags = matrix @ table  # (n, kept)
        spread = float(bags.var(0, correction=0).mean().sqrt())
        spread = spread if spread > NEGLIGIBLE else 1.0  # training texts that are all the same have none
        self.table[:, : table.shape[1]] = table / spread  # fewer texts than directions leave some columns empty
        self.centre[: table.shape[1]] = bags.mean(0) / spread


def document_frequency(texts: Packed) -> Tensor:
    """(BUCKETS,) int64: in how many of the texts each n-gram occurs."""
    owner = torch.repeat_interleave(texts.lengths)  # (total,)
    once = torch.unique(owner * BUCKETS + texts.data)  # (pairs,) of text and n-gram
    return torch.bincount(once % BUCKETS, minlength=BUCKETS)
