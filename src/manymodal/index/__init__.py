"""Search: vectors and a query -> the items whose values are nearest."""

from .exact import Found, Hit, search

__all__ = ["Found", "Hit", "search"]
