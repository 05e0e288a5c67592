"""The fully connected networks of the first GAN (Goodfellow et al. 2014, Section 5)."""

from collections.abc import Callable
from typing import final

from torch import Tensor, nn

from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec
from lightning_gen.nets.gan.dcgan import join
from lightning_gen.nets.gan.discriminator import Head, HeadedDiscriminator, LinearHead

__all__ = ["MLPDiscriminator", "MLPGenerator", "Maxout"]


@final
class MLPGenerator(nn.Module):
    """z (B, Z) and a context (B, K) or None, joined -> signed image (B, C, H, W) in [-1, 1].

    Args:
        spec: of the images.
        latent_dim: Z.
        features: K, 0 where there is no context.
        width: of the hidden layers.
        layers: hidden layers, 1 or more.
    """

    def __init__(self, spec: ImageSpec, latent_dim: int, features: int = 0, width: int = 256, layers: int = 2) -> None:
        super().__init__()
        check_counts("generator", layers=layers)
        hidden: list[nn.Module] = []
        for i in range(layers):
            hidden += [nn.Linear(width if i else latent_dim + features, width), nn.ReLU()]
        to_image = nn.Linear(width, spec.dims)
        self.layers = nn.Sequential(*hidden, to_image, nn.Tanh(), nn.Unflatten(1, spec.shape))

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self.layers(join(z, context))


@final
class Maxout(nn.Module):
    """The largest of several linear maps, unit by unit (Goodfellow et al. 2013, Eq. 1): (B, I) -> (B, O).

    Args:
        into: I.
        out: O.
        pieces: linear maps per unit, 1 or more.
    """

    def __init__(self, into: int, out: int, pieces: int = 5) -> None:
        super().__init__()
        self.linear, self.pieces = nn.Linear(into, out * pieces), pieces

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).unflatten(1, (-1, self.pieces)).amax(2)


@final
class MLPDiscriminator(HeadedDiscriminator):
    """Maxout layers with dropout.

    Args:
        spec: of the images.
        width: units of each hidden layer.
        layers: hidden layers, 1 or more.
        pieces: see `Maxout`.
        dropout: share of units left out after each hidden layer in training, 0 to 1.
        head: called with (spec, features).
    """

    def __init__(
        self,
        spec: ImageSpec,
        width: int = 240,
        layers: int = 2,
        pieces: int = 5,
        dropout: float = 0.5,
        head: Callable[[ImageSpec, int], Head] = LinearHead,
    ) -> None:
        check_counts("discriminator", layers=layers, pieces=pieces)
        if not 0 <= dropout < 1:
            raise UserError(f"discriminator.dropout is {dropout}: want 0 to 1, without 1")
        super().__init__(spec, width, head)
        hidden: list[nn.Module] = []
        for i in range(layers):
            hidden += [Maxout(width if i else spec.dims, width, pieces), nn.Dropout(dropout)]
        self.layers = nn.Sequential(nn.Flatten(), *hidden)

    def embed(self, x: Tensor) -> Tensor:
        return self.layers(x)
