"""Evaluation: embeddings -> the figures of every direction, as a report."""

from .directions import Direction
from .evaluate import Entry, evaluate
from .report import Report

__all__ = ["Direction", "Entry", "Report", "evaluate"]
