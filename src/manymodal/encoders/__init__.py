"""Encoders: value -> feature vector. One kind a file; a registry for your own; a store for those that are frozen."""

from .base import Encoder, Packed
from .registry import encoder_class, register

__all__ = ["Encoder", "Packed", "encoder_class", "register"]
