"""What zero-shot classification by attributes is compared with: three maps from features to class vectors.

Each gives a matrix (w, a), and a value of features x belongs to the class whose vector c has the largest x W c.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot


def eszsl(features: Tensor, labels: Tensor, classes: Tensor, gamma: float, lam: float) -> Tensor:
    """ESZSL (Romera-Paredes and Torr, ICML 2015): squared error of x W c to +1 or -1, two ridges, in closed form.

    Args:
        features: (n, w) float64. labels: (n,) int64, rows of `classes`. classes: (c, a) float64.
        gamma: weight of the ridge on the features' side. lam: on the classes' side.
    """
    target = 2.0 * one_hot(labels, len(classes)) - 1  # (n, c)
    left = features.T @ features + gamma * torch.eye(features.shape[1]).to(features)  # (w, w)
    right = classes.T @ classes + lam * torch.eye(classes.shape[1]).to(features)  # (a, a)
    crossed = features.T @ (target.to(features) @ classes)  # (w, a)
    found: Tensor = torch.linalg.solve(right, torch.linalg.solve(left, crossed), left=False)  # (w, a)
    return found


def ridge(features: Tensor, labels: Tensor, classes: Tensor, gamma: float) -> Tensor:
    """The class vectors by ridge regression from the features, shapes as in `eszsl`."""
    left = features.T @ features + gamma * torch.eye(features.shape[1]).to(features)  # (w, w)
    found: Tensor = torch.linalg.solve(left, features.T @ classes[labels])  # (w, a)
    return found


def devise(
    features: Tensor,
    labels: Tensor,
    classes: Tensor,
    margin: float,
    lr: float,
    epochs: int = 50,
    batch_size: int = 128,
    seed: int = 0,
) -> Tensor:
    """A linear map with DeViSE's ranking loss (Frome et al., NIPS 2013), sum over rivals of max(0, margin - s + s').

    Of a stated width and trained by Adam; the network below it stays as it is, since the features are given.

    Args:
        features: (n, w) float. labels: (n,) int64, rows of `classes`. classes: (c, a) float, brought to unit norm.
        margin: by how much the own class is to lead. lr: of Adam, down a cosine.
    """
    targets = normalize(classes.float(), dim=1)  # (c, a)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layer = torch.nn.Linear(features.shape[1], targets.shape[1], bias=False)
        order = [torch.randperm(len(features)) for _ in range(epochs)]
    optimiser = torch.optim.Adam(layer.parameters(), lr=lr)
    steps = [rows for of_epoch in order for rows in of_epoch.split(batch_size)]
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, len(steps))
    for rows in steps:
        scores = layer(features[rows].float()) @ targets.T  # (b, c)
        own = scores.gather(1, labels[rows, None])  # (b, 1)
        # The own class adds the margin to every row's sum, a constant.
        loss = (margin - own + scores).clamp_min(0).sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        decay.step()
    return layer.weight.detach().T.to(features)  # (w, a)
