"""A flow of vectors as a flow of images."""

from collections.abc import Callable
from typing import final

from lightning_gen.bijections.base import Bijection, Compose
from lightning_gen.bijections.primitives.elementwise import Logit
from lightning_gen.bijections.primitives.multiscale import Flatten
from lightning_gen.images import ImageSpec

__all__ = ["VectorFlow"]


@final
class VectorFlow(Compose):
    """A flow of vectors as a flow of images: logit, flatten, and the flow of C*H*W entries.

    Args:
        spec: of the images.
        context_dim: K; 0: no context.
        flow: called with (C*H*W, K).
        alpha: of the logit in front.
    """

    def __init__(
        self, spec: ImageSpec, context_dim: int, flow: Callable[[int, int], Bijection], alpha: float = 0.05
    ) -> None:
        super().__init__(Logit(alpha), Flatten(spec.shape), flow(spec.dims, context_dim))
