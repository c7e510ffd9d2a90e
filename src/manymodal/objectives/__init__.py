"""Objectives: embeddings -> loss, with one term per pair of modalities where it is a sum over pairs."""

from .anchor import Anchor
from .base import Loss, Objective, PairwiseObjective
from .fused import Fused
from .gcca import GCCA
from .gram import Gram
from .pcmc import PCMC
from .pcmr import PCMR
from .registry import make_objective, objective_spec
from .sigmoid import Sigmoid
from .spectral import Spectral
from .symile import Symile

__all__ = [
    "GCCA",
    "PCMC",
    "PCMR",
    "Anchor",
    "Fused",
    "Gram",
    "Loss",
    "Objective",
    "PairwiseObjective",
    "Sigmoid",
    "Spectral",
    "Symile",
    "make_objective",
    "objective_spec",
]
