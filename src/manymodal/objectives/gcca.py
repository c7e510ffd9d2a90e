"""GCCA: the linear space of several views in closed form, with missing views. No training: a baseline, and a start.

MAXVAR generalised canonical correlation analysis (Carroll 1968; Kettenring 1971, doi:10.1093/biomet/58.3.433) with
missing views as van de Velde and Bijmolt (2006, doi:10.1007/s11336-004-1168-9) and, at scale, Rastogi, Van Durme and
Arora (Multiview LSA, NAACL 2015) have them: an item's shared vector is the mean of what its views say.

With X_m (N, w_m) the centred features of view m (rows of zeros where an item lacks it), C_m = X_m^T X_m + r_m I,
P_m = X_m C_m^-1 X_m^T and D the number of views of each item, the shared vectors G (N, dim) minimise
sum over m of |K_m (G - X_m W_m)|^2 + r_m |W_m|^2 under G^T D G = I (K_m keeps the rows that have view m). They are
D^-1/2 times the first eigenvectors of D^-1/2 (sum of P_m) D^-1/2, and W_m = C_m^-1 X_m^T G.

That matrix is N x N, but it is A A^T for A = D^-1/2 [X_1 C_1^-1/2, X_2 C_2^-1/2, ...]. So all is had from A^T A, as
wide as all views together: with A^T A = V S^2 V^T, W_m = C_m^-1/2 V_m S, where V_m are the rows of V of view m.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from ..embeddings import Embeddings
from ..errors import ManymodalError
from ..matching import matching_pairs

RIDGE, POWER = 0.1, 1.0


def gcca(views: list[Tensor], present: Tensor, dim: int, ridge: float) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """MAXVAR of views with missing rows.

    Cost: O(N w^2 + w^3) operations and O(N w + w^2) numbers, w the width of all views together.

    Args:
        views: of each modality (N, w_m) float64, the same items in the same rows; rows that are missing are ignored.
        present: (N, modalities) bool.
        dim: of the shared vectors.
        ridge: r_m as a multiple of the mean eigenvalue of X_m^T X_m; with 0, directions without variance are left out.

    Returns:
        Of each modality the mean (w_m,) and the map W (w_m, dim); and the eigenvalues (dim,), descending, in [0, 1]:
        the share of a dimension of G that its views explain, over items and views.
    """
    means, roots, whitened = [], [], []
    for view, here in zip(views, present.T, strict=True):
        mean = view[here].sum(0) / max(1, int(here.sum()))  # (w,)
        centred = torch.where(here[:, None], view - mean, 0.0)  # (N, w)
        values, vectors = torch.linalg.eigh(centred.T @ centred)  # (w,), (w, w)
        regular = values.clamp(min=0) + ridge * values.mean()  # (w,)
        kept = regular > len(values) * torch.finfo(values.dtype).eps * regular.max()
        root = (vectors * torch.where(kept, regular, torch.inf).rsqrt()) @ vectors.T  # (w, w) C^-1/2
        means.append(mean)
        roots.append(root)
        whitened.append(centred @ root)  # (N, w)
    views_of_item = present.sum(1, keepdim=True).clamp(min=1).double()  # (N, 1)
    stacked = torch.cat(whitened, dim=1) / views_of_item.sqrt()  # (N, sum of w) A
    squares, axes = torch.linalg.eigh(stacked.T @ stacked)  # ascending: (sum of w,), (sum of w, sum of w)
    squares, axes = squares[-dim:].flip(0).clamp(min=0), axes[:, -dim:].flip(1)  # (dim,), (sum of w, dim)
    blocks = (axes * squares.sqrt()).split([view.shape[1] for view in views])  # V_m S: (w_m, dim) each
    return means, [root @ block for root, block in zip(roots, blocks, strict=True)], squares


class GCCA(nn.Module):
    """Closed-form linear heads: `fit` on features, then `transform` or `embeddings`.

    What it has learned are buffers (`mean`, `heads`, `eigenvalues`; modalities stacked in alphabetical order), so its
    state is saved and loaded like that of any module.

    Args:
        widths: {modality: width of its features}.
        dim: d of the space, at most the widths together.
        ridge: what is added to the diagonal of each modality's covariance, as a multiple of its mean eigenvalue. 0
            makes the space independent of invertible linear changes of a modality's features, and overfits.
        power: each dimension of the space counts by its eigenvalue to this power (beyond what the projections have of
            themselves), so that what the modalities agree on decides a similarity (Gong et al. 2014,
            arXiv:1212.4522); 0 for the projections as they are.
    """

    mean: Tensor
    heads: Tensor
    eigenvalues: Tensor

    def __init__(self, widths: Mapping[str, int], dim: int, ridge: float = RIDGE, power: float = POWER) -> None:
        super().__init__()
        if not 1 <= dim <= sum(widths.values()):
            raise ManymodalError(f"dim={dim}; it must lie between 1 and {sum(widths.values())}, all widths together")
        for name, value in (("ridge", ridge), ("power", power)):
            if not 0 <= value < float("inf"):
                raise ManymodalError(f"{name}={value}; it must be finite and not below 0")
        self.widths = {m: int(widths[m]) for m in sorted(widths)}
        self.ridge, self.power = float(ridge), float(power)
        self.register_buffer("mean", torch.zeros(sum(widths.values()), dtype=torch.float64))
        self.register_buffer("heads", torch.zeros(sum(widths.values()), dim, dtype=torch.float64))
        self.register_buffer("eigenvalues", torch.zeros(dim, dtype=torch.float64))

    def fit(
        self, features: Mapping[str, Tensor], items: Mapping[str, Tensor], labels: Mapping[str, Tensor] | None = None
    ) -> Self:
        """Fit to features, in float64; returns itself.

        Several values of an item in a modality are averaged: what is fitted is one row per item. An item without a
        value in a modality has no part in that modality's projection, and its shared vector is of those it has.

        Args:
            features: {modality: (n_m, w_m) float}.
            items: {modality: (n_m,) int64}, >= 0; all -1 for a modality with one value per label.
            labels: {modality: (n_m,) int64}; needed where a modality has one value per label, which each item of that
                label then has.

        Raises:
            ManymodalError: modalities or widths are not those of the constructor, a feature is not finite, a modality
                has values per label and no labels are given, or no item has two modalities.
        """
        self._check(features)
        if set(features) != set(self.widths) or set(items) != set(self.widths):
            raise ManymodalError(
                f"features name {sorted(features)} and items {sorted(items)}, this GCCA is of {list(self.widths)}; "
                "give all of them, with no rows where there are none"
            )
        rows = {m: (features[m].double(), items[m]) for m in self.widths}
        rows |= _rows_per_item(rows, labels)
        ids = torch.cat([i for _, i in rows.values()]).unique()  # (N,)
        views, present = [], []
        for values, whose in rows.values():
            where = torch.searchsorted(ids, whose)  # (n,)
            count = torch.bincount(where, minlength=len(ids))  # (N,)
            views.append(values.new_zeros(len(ids), values.shape[1]).index_add(0, where, values))  # (N, w)
            views[-1] /= count.clamp(min=1)[:, None]
            present.append(count > 0)
        if not bool((torch.stack(present).sum(0) > 1).any()):
            raise ManymodalError("no item has a value in two modalities, so there is nothing that they share")
        means, heads, values = gcca(views, torch.stack(present, dim=1), self.heads.shape[1], self.ridge)
        self.mean, self.heads, self.eigenvalues = torch.cat(means), torch.cat(heads), values
        return self

    def transform(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{modality: (n_m, d) unit vectors}, in the dtype of the features.

        Raises:
            ManymodalError: not fitted, an unknown modality, another width, or a value without a direction (one that is
                its modality's mean).
        """
        self._check(features)
        if not bool(self.heads.any()):
            raise ManymodalError("this GCCA has not learned anything yet; call fit(features, items)")
        sizes = list(self.widths.values())
        means, heads = (dict(zip(self.widths, b.split(sizes), strict=True)) for b in (self.mean, self.heads))
        weight = self.eigenvalues**self.power  # (d,)
        out = {}
        for m, values in features.items():
            projected = (values.to(self.heads.dtype) - means[m]) @ heads[m] * weight  # (n, d)
            norms = projected.norm(dim=1, keepdim=True)  # (n, 1)
            if not bool((norms > 0).all()):
                row = int((norms[:, 0] <= 0).nonzero()[0])
                raise ManymodalError(
                    f"features[{m!r}] row {row} is the mean of {m!r} in every direction that counts, so it has no "
                    "place in the space; leave that row out"
                )
            out[m] = (projected / norms).to(values.dtype)
        return out

    def embeddings(
        self, features: Mapping[str, Tensor], items: Mapping[str, Tensor], labels: Mapping[str, Tensor] | None = None
    ) -> Embeddings:
        """`transform`, with the items and labels of the rows."""
        return Embeddings(self.transform(features), items, labels)

    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        return {"widths": self.widths, "dim": self.heads.shape[1], "ridge": self.ridge, "power": self.power}

    def _check(self, features: Mapping[str, Tensor]) -> None:
        for m, values in features.items():
            if m not in self.widths:
                raise ManymodalError(f"no modality {m!r} here; there are {', '.join(self.widths)}")
            if values.ndim != 2 or values.shape[1] != self.widths[m] or not values.is_floating_point():
                raise ManymodalError(
                    f"features[{m!r}] are {values.dtype} of shape {tuple(values.shape)}; "
                    f"needed: floats (n, {self.widths[m]})"
                )
            if not bool(values.isfinite().all()):
                row = int((~values.isfinite().all(dim=1)).nonzero()[0])
                raise ManymodalError(f"features[{m!r}] row {row} is not finite (NaN or infinity)")


def _rows_per_item(
    rows: Mapping[str, tuple[Tensor, Tensor]], labels: Mapping[str, Tensor] | None
) -> dict[str, tuple[Tensor, Tensor]]:
    """Modalities with one value per label as if each item of the label had that value; without items by label."""
    named = [m for m, (_, items) in rows.items() if not bool((items < 0).any())]
    per_label = [m for m in rows if m not in named]
    if not per_label:
        return {}
    if labels is None or set(labels) != set(rows):
        raise ManymodalError(
            f"{', '.join(per_label)}: one value per label (items are -1), so labels of all modalities are needed"
        )
    if not any(len(rows[m][1]) for m in named):
        return {m: (rows[m][0][labels[m] >= 0], labels[m][labels[m] >= 0]) for m in per_label}
    pairs = torch.stack([torch.cat([rows[m][1] for m in named]), torch.cat([labels[m] for m in named])])
    items, of_item = pairs.unique(dim=1)  # (i,), (i,)
    found = {}
    for m in per_label:
        which, row = matching_pairs(of_item.contiguous(), labels[m])  # (p,), (p,)
        found[m] = (rows[m][0][row], items[which])
    return found
