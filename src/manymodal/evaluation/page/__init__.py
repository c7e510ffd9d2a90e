"""The report as one page: HTML that opens offline, with its style and its script."""

from .html import page

__all__ = ["page"]
