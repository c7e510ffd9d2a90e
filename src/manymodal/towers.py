"""Encoder and head of each modality: what turns packed values into embeddings, and what training changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from .embeddings import Embeddings
from .encoders.base import Encoder, Packed
from .encoders.registry import encoder_class, registered_name
from .encoders.standardise import Standardise
from .errors import ManymodalError
from .training.rows import Batch


class Head(nn.Sequential):
    """Feature vector -> vector of the space, before it is brought to unit norm: one hidden layer, with dropout."""

    def __init__(self, width: int, dim: int, hidden: int = 512, dropout: float = 0.2) -> None:
        super().__init__(
            nn.Dropout(dropout), nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim)
        )


class Tower(nn.Module):
    """One modality's way into the space: encoder, then head, then unit norm.

    A frozen encoder is not run here: its features come from the feature store, and the tower starts by standardising
    them.

    Args:
        encoder: value -> (width,) features.
        dim: d of the space.
        head: arguments of `Head`.
    """

    def __init__(self, encoder: Encoder, dim: int, head: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.encoder, self.head_settings = encoder, dict(head or {})
        self.standardise = Standardise(encoder.width) if encoder.frozen else None
        self.head = Head(encoder.width, dim, **self.head_settings)
        self.dim = dim

    def forward(self, values: Packed) -> Tensor:
        """Packed values (or, of a frozen encoder, their features) -> (n, d) unit vectors."""
        if len(values) == 0:
            return next(self.head.parameters()).new_zeros(0, self.dim)  # (0, d)
        features = self.encoder(values) if self.standardise is None else self.standardise(values.data)  # (n, width)
        return nn.functional.normalize(self.head(features), dim=1)  # (n, d)

    def config(self) -> dict[str, Any]:
        """What `of_config` needs to build the same tower, weights aside (JSON)."""
        return {
            "encoder": registered_name(self.encoder),
            "settings": self.encoder.settings(),
            "head": self.head_settings,
        }

    @classmethod
    def of_config(cls, config: Mapping[str, Any], dim: int) -> Tower:
        """A tower as `config` describes it, its weights still random."""
        return cls(encoder_class(config["encoder"])(**config["settings"]), dim, config["head"])


class Towers(nn.Module):
    """The towers of all modalities, by name."""

    def __init__(self, towers: Mapping[str, Tower]) -> None:
        super().__init__()
        self.names = sorted(towers)
        self.towers = nn.ModuleList([towers[name] for name in self.names])  # a ModuleDict would refuse a dot in a name

    def __getitem__(self, name: str) -> Tower:
        """The tower of one modality.

        Raises:
            ManymodalError: there is none of that name.
        """
        if name not in self.names:
            raise ManymodalError(f"no modality {name!r} in this space; there are {', '.join(self.names)}")
        tower = self.towers[self.names.index(name)]
        assert isinstance(tower, Tower)
        return tower

    def forward(self, batch: Batch) -> Embeddings:
        """{modality: rows} -> their embeddings."""
        return Embeddings(
            {m: self[m](rows.values) for m, rows in batch.items()},
            {m: rows.items for m, rows in batch.items()},
            {m: rows.labels for m, rows in batch.items()},
        )
