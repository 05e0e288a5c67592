"""Flows of other libraries, at the sizes that ours are compared at."""

import normflows

__all__ = ["glow_of_normflows"]


def glow_of_normflows(steps: int, width: int = 128, scales: int = 3, side: int = 32) -> normflows.MultiscaleFlow:
    """A Glow for pictures 3 x side x side: `scales` of `steps` steps each, its networks `width` wide."""
    bases, merges, flows = [], [], []
    for level in range(scales):
        wide = 3 * 2 ** (scales + 1 - level)
        chain = [normflows.flows.GlowBlock(wide, width, split_mode="channel", scale=True) for _ in range(steps)]
        flows += [[*chain, normflows.flows.Squeeze()]]
        halved = side // 2 ** (scales - level)
        shape = (wide, halved, halved) if level == 0 else (wide // 2, halved, halved)
        merges += [normflows.flows.Merge()] if level else []
        bases += [normflows.distributions.GlowBase(shape, num_classes=None)]
    return normflows.MultiscaleFlow(bases, flows, merges, class_cond=False)
