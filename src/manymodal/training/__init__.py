"""Training: the loop, the sampler, the settings."""

from .diagnosis import diagnose
from .history import History
from .loop import train
from .rows import Batch, Rows
from .sampler import ItemSampler
from .settings import TrainSettings

__all__ = ["Batch", "History", "ItemSampler", "Rows", "TrainSettings", "diagnose", "train"]
