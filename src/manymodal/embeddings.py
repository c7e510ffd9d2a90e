"""The one type that crosses every border: unit vectors of any number of modalities, and what each was observed on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor

from .errors import ManymodalError

NORM_TOLERANCE = 1e-3
MOST_IDS = 1 << 62  # `matching` doubles them


class Embeddings:
    """Vectors of a space, by modality, with the item (and, where known, the label) that each belongs to.

    Two values match when their items are equal and >= 0 or, where labels are in force, when their labels are equal
    and >= 0 (see `manymodal.matching`). A missing value is an absent row; several values are several rows with one
    item id. Item ids are unique over a whole collection; they are not row numbers of a batch.

    Args:
        vectors: {modality: (n_m, d) float}, unit norm, one dtype, device and d; (0, d) is allowed.
        items: {modality: (n_m,) int64}, >= 0; all -1 for a modality with one value per label.
        labels: {modality: (n_m,) int64} or None; -1 is unknown. Covers every row of every modality.

    Raises:
        ManymodalError: shapes, dtypes, devices, ids or norms are not as above, or a vector is not finite.
    """

    def __init__(
        self, vectors: Mapping[str, Tensor], items: Mapping[str, Tensor], labels: Mapping[str, Tensor] | None = None
    ) -> None:
        self.vectors, self.items = dict(vectors), dict(items)
        self.labels = None if labels is None else dict(labels)
        self._check()

    @classmethod
    def normalized(
        cls, vectors: Mapping[str, Tensor], items: Mapping[str, Tensor], labels: Mapping[str, Tensor] | None = None
    ) -> Self:
        """The same, from vectors of any norm but zero: each is divided by its norm."""
        for name, v in vectors.items():
            if v.numel() and not bool((v.detach().norm(dim=1) > 0).all()):
                raise ManymodalError(f"modality {name!r}: a vector of norm 0 has no direction; leave that row out")
        return cls({m: torch.nn.functional.normalize(v, dim=1) for m, v in vectors.items()}, items, labels)

    # -- what there is ---------------------------------------------------------------------------------------------

    @property
    def modalities(self) -> tuple[str, ...]:
        """The names, alphabetical."""
        return tuple(sorted(self.vectors))

    @property
    def dim(self) -> int:
        """d, the dimension of the space."""
        return next(iter(self.vectors.values())).shape[1]

    def per_label(self, modality: str) -> bool:
        """Whether the modality has one value per label instead of per item (its items are all -1)."""
        items = self.items[modality]
        return len(items) > 0 and bool((items < 0).all())

    def __len__(self) -> int:
        """How many values there are, over all modalities."""
        return sum(len(v) for v in self.vectors.values())

    def __repr__(self) -> str:
        sizes = ", ".join(f"{m}: {len(self.vectors[m])}" for m in self.modalities)
        return (
            f"Embeddings({sizes}; d={self.dim}, {str(next(iter(self.vectors.values())).dtype).removeprefix('torch.')})"
        )

    # -- parts and sums --------------------------------------------------------------------------------------------

    def only(self, *modalities: str) -> Embeddings:
        """The named modalities alone."""
        for name in modalities:
            if name not in self.vectors:
                raise ManymodalError(f"no modality {name!r} here; there are {', '.join(self.modalities)}")
        return self.pick(dict.fromkeys(modalities, slice(None)))

    def of_items(self, items: Tensor) -> Embeddings:
        """The rows of the given items, and of label modalities the rows of those items' labels."""
        rows: dict[str, Tensor | slice] = {
            m: torch.isin(ids, items) for m, ids in self.items.items() if not self.per_label(m)
        }
        if self.labels is not None:
            kept = torch.cat([self.labels[m][r] for m, r in rows.items()]).unique() if rows else None
            for m in self.modalities:
                if m not in rows:
                    rows[m] = slice(None) if kept is None else torch.isin(self.labels[m], kept)
        return self.pick(rows)

    @classmethod
    def concatenate(cls, parts: list[Embeddings]) -> Embeddings:
        """All rows of all parts, in order; a modality absent from a part has no rows there."""
        if not parts:
            raise ManymodalError("nothing to concatenate: give at least one Embeddings")
        names = sorted({m for part in parts for m in part.vectors})
        if len({part.labels is None for part in parts}) > 1:
            raise ManymodalError(
                "some parts have labels and some have none; give labels (-1 where unknown) to all or to none"
            )
        have = {m: [part for part in parts if m in part.vectors] for m in names}
        return cls(
            {m: torch.cat([part.vectors[m] for part in have[m]]) for m in names},
            {m: torch.cat([part.items[m] for part in have[m]]) for m in names},
            None
            if parts[0].labels is None
            else {m: torch.cat([(part.labels or {})[m] for part in have[m]]) for m in names},
        )

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Embeddings:
        """The same on another device or in another floating-point type."""
        return Embeddings(
            {m: v.to(device=device, dtype=dtype) for m, v in self.vectors.items()},
            {m: i.to(device=device) for m, i in self.items.items()},
            None if self.labels is None else {m: y.to(device=device) for m, y in self.labels.items()},
        )

    def pick(self, rows: Mapping[str, Tensor | slice]) -> Embeddings:
        """The given rows of the modalities named: {modality: row numbers, a mask or a slice}."""
        return Embeddings(
            {m: self.vectors[m][r] for m, r in rows.items()},
            {m: self.items[m][r] for m, r in rows.items()},
            None if self.labels is None else {m: self.labels[m][r] for m, r in rows.items()},
        )

    # -- checks ----------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        if not self.vectors:
            raise ManymodalError("Embeddings need at least one modality; (0, d) vectors stand for one without values")
        for what, ids in (("items", self.items), ("labels", self.labels)):
            if ids is not None and set(ids) != set(self.vectors):
                raise ManymodalError(
                    f"{what} name {sorted(ids)}, vectors name {sorted(self.vectors)}: both need the same modalities"
                )
        first_name, first = next(iter(self.vectors.items()))
        for name, v in self.vectors.items():
            if v.ndim != 2 or not v.is_floating_point():
                raise ManymodalError(
                    f"vectors[{name!r}] are {v.dtype} of shape {tuple(v.shape)}; needed: floats (n, d)"
                )
            if (v.dtype, v.device, v.shape[1]) != (first.dtype, first.device, first.shape[1]):
                raise ManymodalError(
                    f"vectors[{name!r}] are {v.dtype} on {v.device} with d={v.shape[1]}, vectors[{first_name!r}] are "
                    f"{first.dtype} on {first.device} with d={first.shape[1]}; all need the same"
                )
            self._check_ids("items", name, self.items[name], v)
            items = self.items[name]
            if bool((items < -1).any()) or (bool((items < 0).any()) and not bool((items < 0).all())):
                raise ManymodalError(
                    f"items[{name!r}] mix negative ids and others; all are >= 0, or all -1 (one value per label)"
                )
            if self.labels is not None:
                self._check_ids("labels", name, self.labels[name], v)
            self._check_norms(name, v.detach())
        if self.labels is not None:
            self._check_one_label_an_item()

    @staticmethod
    def _check_ids(what: str, name: str, ids: Tensor, v: Tensor) -> None:
        if ids.dtype != torch.int64 or ids.shape != v.shape[:1] or ids.device != v.device:
            raise ManymodalError(
                f"{what}[{name!r}] are {ids.dtype} of shape {tuple(ids.shape)} on {ids.device}; "
                f"needed: int64 of shape ({len(v)},) on {v.device}"
            )
        if bool((ids >= MOST_IDS).any()):
            raise ManymodalError(f"{what}[{name!r}] hold {int(ids.max())}; ids are below 2^62")

    @staticmethod
    def _check_norms(name: str, v: Tensor) -> None:
        norms = v.norm(dim=1) if v.dtype in (torch.float32, torch.float64) else v.float().norm(dim=1)  # (n,)
        if bool(((norms - 1).abs() <= NORM_TOLERANCE).all()):  # false for NaN and infinity too
            return
        if not bool(norms.isfinite().all()):
            row = int((~norms.isfinite()).nonzero()[0])
            raise ManymodalError(f"vectors[{name!r}] row {row} is not finite (NaN or infinity)")
        row = int((norms - 1).abs().argmax())
        raise ManymodalError(
            f"vectors[{name!r}] row {row} has norm {float(norms[row]):.4g}; unit norm (within {NORM_TOLERANCE}) is "
            "needed: use Embeddings.normalized(...) to have them divided by it"
        )

    def _check_one_label_an_item(self) -> None:
        assert self.labels is not None
        named = [m for m in self.vectors if not self.per_label(m)]
        if not named:
            return
        pairs = torch.stack([torch.cat([self.items[m] for m in named]), torch.cat([self.labels[m] for m in named])])
        pairs = pairs.unique(dim=1)  # (2, distinct)
        repeated = pairs[0, 1:] == pairs[0, :-1]
        if bool(repeated.any()):
            item = int(pairs[0, 1:][repeated][0])
            raise ManymodalError(
                f"item {item} has more than one label; an item has one (or -1, unknown, in all its rows)"
            )
