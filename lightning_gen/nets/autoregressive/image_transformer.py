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
from lightning_gen.graphs import can_capture
from lightning_gen.nets.autoregressive.causal import CausalNet, CausalSpec, Reader, check_kernels
from lightning_gen.nets.autoregressive.masks import CausalConv2d, pointwise
from lightning_gen.nets.autoregressive.plane import Cursor
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
        self.net, self.context, self.columns = net, net.context(context), x.shape[3]
        self.cursor = Cursor(x.device, 2 * net.around.reach + 1)
        self.around, self.from_around = net.around.planes(self.cursor, x), net.around.as_matrix()
        self.pixel, self.before = self.around.here[0], x.new_zeros(x.shape[:2])
        self.layers: list[CausalLayer] = list(net.layers)  # type: ignore[arg-type]
        (tokens, width), heads = net.place.shape, self.layers[0].heads
        self.cache = [x.new_zeros(len(x), 2, heads, tokens, width // heads) for _ in self.layers]
        self.hidden = x.new_zeros(len(x), width)
        self.own, self.head = net.own.as_matrix(), net.head.as_matrix()
        self.time = torch.zeros(1, dtype=torch.long, device=x.device)
        # Attention looks at the tokens so far; where it is captured, at all, and those to come are hidden.
        self.seen = torch.zeros(tokens, dtype=torch.bool, device=x.device) if can_capture(x.device) else None

    def descend(self, row: int) -> None:
        self.around.descend()
        self.cursor.restart()

    def enter(self, row: int, column: int) -> None:
        self.around.enter()
        place = self.net.place.index_select(0, self.time)
        h = linear(self.around.seen[0], *self.from_around) + place + self.context + self.net.before(self.before)
        h, tokens = h[:, None], row * self.columns + column + 1
        if self.seen is not None:
            self.seen.index_fill_(0, self.time, True)
            tokens = len(self.seen)
        for layer, cache in zip(self.layers, self.cache, strict=True):
            q, k, v = layer.attention(h)
            cache.index_copy_(3, self.time, torch.stack([k, v], 1))
            keys, values = cache[:, :, :, :tokens].unbind(1)
            mask = None if self.seen is None else self.seen[None]
            h = layer.update(h, scaled_dot_product_attention(q, keys, values, mask))
        self.hidden.copy_(self.net.hidden(self.net.norm(h[:, 0])))

    def read(self) -> Tensor:
        h = gelu(self.hidden + linear(self.pixel, *self.own))
        return linear(h, *self.head)[:, :, None, None]

    def leave(self) -> None:
        self.around.leave()
        self.before.copy_(self.pixel)
        self.cursor.advance()
        self.time.add_(1)

    def state(self) -> Iterable[Tensor]:
        return self.around.state(), self.before, *self.cache
