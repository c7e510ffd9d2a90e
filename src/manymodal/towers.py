"""Encoder and head of each modality: what turns packed values into embeddings, and what training changes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .embeddings import Embeddings
from .encoders.base import Encoder, Packed
from .encoders.registry import encoder_class, registered_name
from .encoders.standardise import Standardise
from .errors import ManymodalError
from .training.rows import Batch


class Head(nn.Sequential):
    """Feature vector -> vector of the space, before it is brought to unit norm.

    Args:
        width: of the feature vector.
        dim: d of the space.
        hidden: width of the hidden layer; None for a linear map, which is all that a few dozen labels can teach.
        dropout: share of the inputs of each layer that a training step leaves out.
        initial: factor of the last layer's first weights. What training never touches stays as it was initially, and
            what is unlike all training data meets it as noise: it is small where this is.

    Raises:
        ManymodalError: a number out of its range.
    """

    def __init__(
        self, width: int, dim: int, hidden: int | None = 512, dropout: float = 0.2, initial: float = 1.0
    ) -> None:
        if (
            (hidden is not None and (not isinstance(hidden, int) or hidden < 1))
            or not 0 <= dropout < 1
            or not 0 < initial <= 1
        ):
            raise ManymodalError(
                f"head: hidden={hidden}, dropout={dropout}, initial={initial}; needed: hidden of at least 1 or None, "
                "dropout from 0 to below 1, initial above 0 and up to 1"
            )
        layers: list[nn.Module] = [nn.Dropout(dropout)]
        if hidden is not None:
            layers += [nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout)]
        last = nn.Linear(width if hidden is None else hidden, dim)
        with torch.no_grad():
            for parameter in last.parameters():
                parameter.mul_(initial)
        super().__init__(*layers, last)


HEAD = tuple(inspect.signature(Head).parameters)[2:]  # the settings of a head


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
        for name in self.head_settings:
            if name not in HEAD:
                raise ManymodalError(f"head: no setting {name!r}; there are {', '.join(HEAD)}")
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
