"""Training: the loop, the sampler, the settings."""

from .diagnosis import diagnose
from .loop import History, train
from .rows import Batch, Rows
from .sampler import ItemSampler
from .settings import TrainSettings

__all__ = ["Batch", "History", "ItemSampler", "Rows", "TrainSettings", "diagnose", "train"]
