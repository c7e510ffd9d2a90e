"""Readers of data sets in the layout in which they were published: folders of files become one table."""

from .cub import read_cub
from .flickr8k import read_flickr8k
from .published import Published

__all__ = ["Published", "read_cub", "read_flickr8k"]
