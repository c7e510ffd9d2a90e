"""Matrices too large to be held, in blocks: each is used and forgotten, and made again in the backward pass.

For objectives whose logits are no plain products of two vectors. Where they are, `tiles` does the same faster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

NUMBERS = 1 << 20  # of a block: some MB

Result = TypeVar("Result")


def in_blocks(function: Callable[..., Result], rows: Sequence[Tensor], width: int) -> list[Result]:
    """`function(*parts)` for successive blocks of rows; what it computes inside is not kept for the backward pass.

    Args:
        function: deterministic; tensors that it closes over get their gradients too.
        rows: tensors (n, ...) that are split alike.
        width: numbers that `function` makes for each row.
    """
    size = max(1, NUMBERS // max(1, width))
    return [
        checkpoint(function, *parts, use_reentrant=False, preserve_rng_state=False)
        for parts in zip(*(tensor.split(size) for tensor in rows), strict=True)
    ]


def rivals_logsumexp(
    logits: Callable[..., Tensor], sets: Sequence[Tensor], key: Tensor, set_key: Tensor
) -> tuple[Tensor, Tensor]:
    """Log-sum-exp of the logits of n anchors and c candidate sets over those that do not match, both ways.

    Args:
        logits: (block of each of `sets`) -> (n, r).
        sets: tensors (c, ...) that describe the candidates.
        key: (n,) int64 of the anchors. set_key: (c,) int64; they match when keys are equal and >= 0.

    Returns:
        (n,) over sets and (c,) over anchors; -inf, with a gradient of zero, where all match.
    """

    def block(part_key: Tensor, *part: Tensor) -> tuple[Tensor, Tensor]:
        match = (key[:, None] == part_key) & (part_key >= 0)  # (n, r)
        others = logits(*part).masked_fill(match, -torch.inf)  # (n, r)
        return others.logsumexp(1), others.logsumexp(0)  # (n,), (r,)

    found = in_blocks(block, (set_key, *sets), width=len(key))
    return torch.stack([over for over, _ in found]).logsumexp(0), torch.cat([over for _, over in found])
