"""Objectives: embeddings -> loss, one term per pair of modalities."""

from .base import Loss, Objective, PairwiseObjective
from .pcmc import PCMC
from .pcmr import PCMR
from .registry import make_objective, objective_spec

__all__ = ["PCMC", "PCMR", "Loss", "Objective", "PairwiseObjective", "make_objective", "objective_spec"]
