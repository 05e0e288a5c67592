"""A transformer over the pixels of an image in raster order (Parmar et al. 2018; Chen et al. 2020), read with a cache
of keys and values.

What differs from the papers: attention reaches all earlier pixels (2018: a block of them); a token is a pixel with all
its channels, not one of them; it is made by a masked convolution of the pixels around, so that the first layer need not
find out which tokens are neighbours; the channels of a pixel are taken in by a masked head.
"""

from collections.abc import Iterable
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear, pad, scaled_dot_product_attention

from lightning_gen.errors import UserError, check_counts
from lightning_gen.nets.autoregressive.causal import CausalNet, CausalSpec, Reader, check_kernels
from lightning_gen.nets.autoregressive.masks import CausalConv2d, pointwise
from lightning_gen.nets.layers.attention import CausalLayer
from lightning_gen.nets.layers.context import ContextBias

__all__ = ["ImageTransformer"]


@final
class ImageTransformer(CausalNet):
    """Signed image (B, C, H, W) -> parameters (B, P, H, W), without a blind spot.

    Args:
        spec: what the network is built for; the places in the picture have learned embeddings, so its size is fixed.
            The context shifts every token.
        width: features of a token, a multiple of `heads`, at least one per channel.
        layers: 1 or more.
        heads: 1 or more.
        kernel: odd, of the convolution that makes the tokens.
        dropout: of every residual, 0..1.

    Raises:
        UserError: an argument out of range.
    """

    def __init__(
        self,
        spec: CausalSpec,
        width: int = 64,
        layers: int = 4,
        heads: int = 4,
        kernel: int = 5,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_kernels(kernel=kernel)
        check_counts("net", layers=layers, heads=heads)
        if width % heads or width < spec.values:
            raise UserError(f"net.width is {width}: want a multiple of {heads} heads, {spec.values} or more")
        image, features = spec.image_groups(), spec.hidden_groups(width)
        # No feature of a token sees a channel of its own pixel: all belong to the first channel.
        self.around = CausalConv2d(image, torch.zeros(width, dtype=torch.long), kernel, first=True)
        # From the first column, the end of the row above is too far for the convolution.
        self.before = nn.Linear(spec.image.channels, width, bias=False)
        self.place = nn.Parameter(0.02 * torch.randn(spec.image.height * spec.image.width, width))
        self.context = ContextBias(spec.context, width)
        self.layers = nn.ModuleList(CausalLayer(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.hidden = nn.Linear(width, width)
        self.own = pointwise(image, features, first=True)
        self.head = pointwise(features, spec.output_groups())

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        before = self.before(pad(x.flatten(2), (1, -1)).mT)
        h = (self.around(x) + self.context.image(context)).flatten(2).mT + before + self.place
        for layer in self.layers:
            h = layer(h)
        hidden = self.hidden(self.norm(h)).mT.unflatten(2, x.shape[2:])
        return self.head(gelu(hidden + self.own(x)))

    def reader(self, x: Tensor, context: Tensor | None = None) -> Reader:
        return _CachedReader(self, x, context)


class _CachedReader(Reader):
    """The layers once per pixel, with the keys and values of all earlier ones kept; the head once per channel."""

    def __init__(self, net: ImageTransformer, x: Tensor, context: Tensor | None) -> None:
        self.net, self.x, self.around, self.time = net, x, net.around.plane(x), -1
        self.context = net.context(context)
        self.layers: list[CausalLayer] = list(net.layers)  # type: ignore[arg-type]
        tokens, width = net.place.shape
        heads = self.layers[0].heads
        self.cache = [x.new_zeros(len(x), 2, heads, tokens, width // heads) for _ in self.layers]
        self.hidden = x.new_zeros(len(x), width)
        self.own, self.head = net.own.as_matrix(), net.head.as_matrix()

    def read(self, row: int, column: int) -> Tensor:
        time = row * self.x.shape[3] + column
        if time != self.time:  # all channels of a pixel have the same token
            self.time = time
            self.hidden = self._token(row, column, time)
        h = gelu(self.hidden + linear(self.x[:, :, row, column], *self.own))
        return linear(h, *self.head)[:, :, None, None]

    def _token(self, row: int, column: int, time: int) -> Tensor:
        """(B, F) before the head."""
        self.around.follow(self.x, row)
        h = self.around.at(row, column) + self.net.place[time] + self.context
        if time:
            h = h + self.net.before(self.x.flatten(2)[:, :, time - 1])
        h = h[:, None]
        for layer, cache in zip(self.layers, self.cache, strict=True):
            q, k, v = layer.attention(h)
            cache[:, 0, :, time], cache[:, 1, :, time] = k[:, :, 0], v[:, :, 0]
            keys, values = cache[:, :, :, : time + 1].unbind(1)
            h = layer.update(h, scaled_dot_product_attention(q, keys, values))
        return self.net.hidden(self.net.norm(h[:, 0]))

    def state(self) -> Iterable[Tensor]:
        return self.around.values, *self.cache, self.hidden
