"""The gradient cache: a large batch through encoders that hold only a few values at a time.

A contrastive loss needs the embeddings of the whole batch, but not the graphs behind them. So the batch is embedded in
chunks without graphs; the loss gives its gradient with respect to the embeddings; then each chunk is embedded again,
with a graph that lives just long enough to carry that gradient into the parameters (Gao et al. 2021, GradCache,
arXiv:2101.06983). The gradient is the one that all chunks at once would give, at the price of a second forward pass.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..embeddings import Embeddings
from .rows import Batch


class GradientCache:
    """Embeds a batch in chunks; after the loss's `backward()`, call this one's.

    Each chunk draws (dropout, augmentation) from a seed of its own, on whatever device, so that it draws the same both
    times; the seeds come from torch's generator, whose state is changed. A modality without trained parameters is
    embedded once. Statistics that a network gathers as it goes (batch normalisation) are a chunk's, taken twice.

    Args:
        model: {modality: Rows} -> `Embeddings` of those rows.
        batch: on any device.
        chunk_size: values embedded at a time, at least 1.
        device: where the model is.
    """

    def __init__(self, model: nn.Module, batch: Batch, chunk_size: int, device: torch.device | str = "cpu") -> None:
        self.model, self.batch, self.device = model, batch, device
        self.chunks = {m: torch.arange(len(rows)).split(chunk_size) for m, rows in batch.items()}
        self.seeds = {m: torch.randint(2**62, (len(chunks),)).tolist() for m, chunks in self.chunks.items()}
        self.embeddings = Embeddings(
            {m: self._embed_all(m) for m in batch},
            {m: rows.items.to(device) for m, rows in batch.items()},
            {m: rows.labels.to(device) for m, rows in batch.items()},
        )

    def backward(self) -> None:
        """Carry the gradient that the embeddings have collected into the model's parameters."""
        for m, vectors in self.embeddings.vectors.items():
            if vectors.grad is None:
                continue
            for at, seed in zip(self.chunks[m], self.seeds[m], strict=True):
                again = self._embed(m, at, seed)
                if again.requires_grad:  # not so where there is no value
                    again.backward(vectors.grad[at.to(vectors.device)])

    def _embed_all(self, modality: str) -> Tensor:
        """(n, d), a leaf; it collects a gradient if something behind it is trained (the first chunk's graph tells)."""
        parts, trained = [], False
        for number, (at, seed) in enumerate(zip(self.chunks[modality], self.seeds[modality], strict=True)):
            with torch.set_grad_enabled(number == 0):
                part = self._embed(modality, at, seed)  # (chunk, d)
            trained |= part.requires_grad
            parts.append(part.detach())
        return torch.cat(parts).requires_grad_(trained)

    def _embed(self, modality: str, rows: Tensor, seed: int) -> Tensor:
        torch.manual_seed(seed)
        vectors: Tensor = self.model({modality: self.batch[modality].take(rows).to(self.device)}).vectors[modality]
        return vectors
