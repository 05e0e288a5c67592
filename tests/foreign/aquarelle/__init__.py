"""A package of somebody else: a network, a loss, a data set and a whole model of their own, for lightning-gen."""

from aquarelle.nets import Wash

__all__ = ["Wash"]
