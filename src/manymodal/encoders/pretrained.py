"""Frozen sentence encoders: any text transformer in a local folder or on the Hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ManymodalError
from .base import Encoder, Packed
from .model_folder import Recipe, find_model, fingerprint_of, read_model
from .registry import register

TOKENS_AT_ONCE = 4_096  # of one pass, padding included
LONGEST = 512  # tokens, where the model does not say


@register("pretrained")
class Pretrained(Encoder):
    """A transformer's last hidden states, pooled into one vector; never trained.

    A folder as sentence-transformers writes it is honoured: pooling, normalisation, lower case, longest text (the rest
    of a longer one is not read). Any other model is pooled by the mean over its tokens.

    The weights are no part of the state dict, so a saved space does not carry them: they are read again from the
    folder or Hub name in the settings.

    Args:
        model: a local folder, or a name on the Hub ("sentence-transformers/all-MiniLM-L6-v2").

    Raises:
        ManymodalError: transformers is not installed, or the model cannot be had or used.
    """

    kind: ClassVar[str] = "text"
    frozen: ClassVar[bool] = True
    ragged: ClassVar[bool] = True

    def __init__(self, model: str) -> None:
        super().__init__()
        self.model = str(model)
        self.folder = find_model(self.model)
        self.recipe = Recipe.of(self.folder)
        self.tokenizer, transformer = read_model(self.recipe.transformer)
        self._transformer = (
            transformer,
        )  # in a tuple torch does not see it: no parameters, no weights in the state dict
        self.width = int(transformer.config.hidden_size)
        known = (self.recipe.longest or LONGEST, self.tokenizer.model_max_length)
        self.longest = min(*known, getattr(transformer.config, "max_position_embeddings", LONGEST))

    def tensor(self, value: Any) -> Tensor:
        """A `str`, empty allowed -> (tokens,) int32, the tokenizer's own marks included."""
        if not isinstance(value, str):
            raise ManymodalError(f"a text came as {type(value).__name__}; needed: str")
        text = value.lower() if self.recipe.lower_case else value
        tokens = self.tokenizer(text, truncation=True, max_length=self.longest)["input_ids"]
        return torch.tensor(tokens or [self.tokenizer.pad_token_id or 0], dtype=torch.int32)

    @torch.no_grad()
    def forward(self, values: Packed) -> Tensor:
        """Packed int32 tokens -> (n, width) float32, on the encoder's device."""
        features = torch.empty(len(values), self.width, device=self.device)
        for rows in batches(values.lengths.cpu()):
            features[rows.to(self.device)] = self._pooled(values.take(rows.to(values.data.device)).to(self.device))
        return F.normalize(features, dim=1) if self.recipe.normalise else features

    def settings(self) -> dict[str, Any]:
        """The folder or name."""
        return {"model": self.model}

    def fingerprint(self) -> str:
        """Of the model's files: the same model in another folder has the same one."""
        return fingerprint_of(self.folder)

    @property
    def device(self) -> torch.device:
        """Where the transformer is."""
        device: torch.device = self._transformer[0].device
        return device

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._transformer[0]._apply(fn)  # what .to() and .cuda() go through
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _pooled(self, texts: Packed) -> Tensor:
        assert texts.offsets is not None
        lengths = texts.lengths
        mask = torch.arange(int(lengths.max()), device=lengths.device) < lengths[:, None]  # (n, tokens)
        tokens = torch.full_like(mask, self.tokenizer.pad_token_id or 0, dtype=torch.int64)
        tokens[mask] = texts.data.long()
        hidden: Tensor = self._transformer[0](input_ids=tokens, attention_mask=mask.long()).last_hidden_state
        if self.recipe.pooling == "cls":
            return hidden[:, 0]  # (n, width)
        return (hidden * mask[:, :, None]).sum(1) / lengths[:, None]  # (n, width)


def batches(lengths: Tensor) -> Iterator[Tensor]:
    """Row numbers of texts of about one length, at most TOKENS_AT_ONCE together when padded (but at least one text).

    Args:
        lengths: (n,) int64.
    """
    order = lengths.argsort(descending=True, stable=True)
    start = 0
    while start < len(order):
        count = max(TOKENS_AT_ONCE // int(lengths[order[start]]), 1)
        yield order[start : start + count]
        start += count
