"""Evaluation: embeddings -> the figures of every direction, as a report."""

from .directions import Direction
from .entry import Entry, Gain
from .evaluate import evaluate
from .report import Report

__all__ = ["Direction", "Entry", "Gain", "Report", "evaluate"]
