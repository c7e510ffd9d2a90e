"""The settings of a training run, each with its default and its reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import ManymodalError


class TrainSettings(BaseModel):
    """What `fit` can be told; the `train:` part of a YAML file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(default=30, ge=1)
    batch_size: int = Field(default=512, ge=2)  # items; more gives a contrastive loss more negatives
    lr: float = Field(default=1e-3, gt=0)  # the highest; warmed up over the first tenth, then down a cosine
    weight_decay: float = Field(default=0.05, ge=0)  # of matrices; not of biases, norms or the scale
    clip: float = Field(default=1.0, gt=0)  # largest norm of the gradient
    chunk_size: int | None = Field(default=None, ge=1)  # values encoded at a time; None = all (see `GradientCache`)
    values_per_item: Annotated[int, Field(ge=1)] | Literal["all"] = 1
    neighbours: int | None = Field(default=None, ge=2)  # batches of whole clusters of so many items; None: at random
    patience: int = Field(default=10, ge=1)  # validations without a better dev mrr before it stops
    validations: int = Field(default=15, ge=1)  # how often dev is looked at during the whole run
    checkpoint_seconds: float = Field(default=30.0, ge=0)  # least time between two checkpoints; 0 = after every epoch
    seed: int = 0

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> TrainSettings:
        """Checked settings.

        Raises:
            ManymodalError: an unknown setting or a value that is not allowed, by name.
        """
        try:
            return cls(**given)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"][:1])
            if first["type"] == "extra_forbidden":
                raise ManymodalError(f"no training setting {name!r}; there are {', '.join(cls.model_fields)}") from None
            raise ManymodalError(f"training setting {name}={first['input']!r}: {first['msg'].lower()}") from None
