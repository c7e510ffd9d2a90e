"""Collections: tables whose columns are modalities of the same items."""

from .collection import Collection, read_collection
from .describe import Description
from .extract import BadRow
from .schema import Config, Modality, Schema, make_config, read_config, yaml_of
from .values import Values

__all__ = [
    "BadRow",
    "Collection",
    "Config",
    "Description",
    "Modality",
    "Schema",
    "Values",
    "make_config",
    "read_collection",
    "read_config",
    "yaml_of",
]
