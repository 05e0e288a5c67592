"""The discriminator of SRGAN for crops of any size."""

from typing import final

from torch import Tensor, nn

from lightning_gen.batches import Batch
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec
from lightning_gen.nets.gan.discriminator import Discriminator, DiscriminatorOutput
from lightning_gen.nets.gan.patch import NormFactory
from lightning_gen.nets.layers.last import LastLinear
from lightning_gen.nets.layers.norms import BatchNorm

__all__ = ["CropDiscriminator"]


@final
class CropDiscriminator(Discriminator):
    """Pairs of convolutions, of which the second halves the picture, in the manner of VGG (Ledig et al. 2017, Figure
    4); then the mean over all places, where the paper has a dense layer of one size, and two linear layers.

    Its features are the outputs of the pairs, for feature matching.

    Args:
        spec: of the images.
        width: channels of the first pair, doubled at each up to eight times.
        pairs: 1 or more; 4 in the paper.
        norm: called with (channels, 0); none in the first convolution.

    Raises:
        UserError: images are below 2^pairs pixels.
    """

    keys = ()

    def __init__(self, spec: ImageSpec, width: int = 64, pairs: int = 4, norm: NormFactory = BatchNorm) -> None:
        super().__init__()
        check_counts("discriminator", width=width, pairs=pairs)
        if min(spec.height, spec.width) >> pairs < 1:
            got = f"discriminator.pairs is {pairs} for images of {spec.height}x{spec.width}"
            raise UserError(f"{got}: want fewer, or {1 << pairs} pixels")
        self.pairs = nn.ModuleList()
        into = spec.channels
        for i in range(pairs):
            out = min(width << i, 8 * width)
            first = nn.Conv2d(into, out, 3, 1, 1)
            layers: list[nn.Module] = [first, nn.LeakyReLU(0.2)] if i == 0 else [first, norm(out, 0), nn.LeakyReLU(0.2)]
            layers += [nn.Conv2d(out, out, 4, 2, 1), norm(out, 0), nn.LeakyReLU(0.2)]
            self.pairs.append(nn.Sequential(*layers))
            into = out
        self.score = nn.Sequential(nn.Linear(into, 2 * into), nn.LeakyReLU(0.2), LastLinear(2 * into, 1))

    def forward(self, x: Tensor, batch: Batch | None = None) -> DiscriminatorOutput:
        """Signed images (B, C, H, W) -> logits (B,)."""
        features = []
        for pair in self.pairs:
            x = pair(x)
            features.append(x)
        return DiscriminatorOutput(self.score(x.mean((2, 3)))[:, 0], tuple(features))
