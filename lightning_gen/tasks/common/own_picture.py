"""The code of a picture that the model has not made: an encoder's guess, then steps towards the picture itself."""

from collections.abc import Callable
from typing import NamedTuple, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, mse_loss

from lightning_gen.cache import cache_path, cached
from lightning_gen.contracts import LatentModule, StyleModule
from lightning_gen.data.decode import open_picture
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec, to_signed
from lightning_gen.metrics.extractors import Classifier, minimise, repeatable, weights_hash
from lightning_gen.resampling import resample_levels
from lightning_gen.tasks.common.code_space import CodeSpace

__all__ = ["Found", "StyleEncoder", "cropped", "find_code", "fit_encoder", "style_encoder"]

#: samples that an encoder learns from, its steps, and the steps towards a picture
_DRAWS, _STEPS, _TOWARDS = 2048, 250, 100


class Found(NamedTuple):
    """A code (K,) whose picture is near another one, and how near: mean distance of pixels as a share of their range,
    after the encoder and after the steps."""

    code: Tensor
    guessed: float
    residual: float


def cropped(content: bytes, name: str, spec: ImageSpec, left: float, top: float, side: float) -> Tensor:
    """Cut a square out of a picture file and bring it to the size of a model.

    Args:
        content: of the file.
        name: of the file, for messages.
        spec: of the model's images.
        left: place of the square, 0 to 1 of the way that it could move; as is `top`.
        top: see `left`.
        side: of the square, above 0 to 1, as a share of the largest that fits.

    Returns:
        uint8 (C, H, W).

    Raises:
        UserError: it is no picture, or the images are neither grey nor colour.
    """
    if spec.channels not in (1, 3):
        raise UserError(f"images have {spec.channels} channels: want 1 or 3 for a picture of your own")
    picture = open_picture(content, name).convert("RGB" if spec.channels == 3 else "L")
    ratio = spec.width / spec.height
    height = max(1, round(side * min(picture.height, picture.width / ratio)))
    width = max(1, round(height * ratio))
    x, y = round(left * (picture.width - width)), round(top * (picture.height - height))
    pixels = torch.from_numpy(np.array(picture.crop((x, y, x + width, y + height)))).view(height, width, -1)
    image = resample_levels(pixels.permute(2, 0, 1)[None], (spec.height, spec.width))[0]
    return (image.int() * spec.levels // 256).to(torch.uint8)


@final
class StyleEncoder(nn.Module):
    """uint8 (B, C, H, W) -> styles (B, W), learned from a generator's own samples.

    Args:
        spec: of the images.
        style: W.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, spec: ImageSpec, style: int) -> None:
        super().__init__()
        self.net = Classifier(ImageSpec(*spec.shape, spec.levels, classes=style), dims=128)
        self.register_buffer("mean", torch.zeros(style))
        self.register_buffer("scale", torch.ones(style))

    def forward(self, image: Tensor) -> Tensor:
        return self.mean + self.scale * self.net.logits(self.net(image))


def fit_encoder(space: CodeSpace, draws: int = _DRAWS, steps: int = _STEPS) -> StyleEncoder:
    """Train an encoder on samples of seed 1, mirrored never: a style says left from right.

    Args:
        space: of styles.
        draws: samples.
        steps: batches of 64.
    """
    codes, spec = space.draw(draws, 1), space.module.spec
    image, chance = space.images(codes), torch.Generator().manual_seed(0)
    with repeatable():
        net = StyleEncoder(spec, codes.shape[1])
        net.mean.copy_(codes.mean(0))
        net.scale.copy_(codes.std(0).clamp(min=1e-6))

        def loss() -> Tensor:
            index = torch.randint(draws, (64,), generator=chance)
            x = to_signed(image[index], spec.levels)
            x = x + 0.1 * torch.randn(x.shape, generator=chance)
            return mse_loss(net.net.logits(net.net.pooled(x)), (codes[index] - net.mean) / net.scale)

        minimise(net, loss, 5e-3, steps)
    return net.eval().requires_grad_(False)


def style_encoder(space: CodeSpace) -> StyleEncoder:
    """Give the encoder of a generator, trained once and cached by the generator's hash."""
    net = StyleEncoder(space.module.spec, space.draw(1, 0).shape[1])
    identity = {
        "kind": "styles",
        "recipe": 1,
        "generator": weights_hash(space.module.ema_network),
        "label": space.label,
    }
    net.load_state_dict(cached(cache_path("encoders", identity), lambda: fit_encoder(space).state_dict()))
    return net.eval().requires_grad_(False)


@torch.no_grad()
def find_code(space: CodeSpace, image: Tensor, encoder: Callable[[], StyleEncoder], steps: int = _TOWARDS) -> Found:
    """Find the code of one picture.

    A model with an encoder of its own is asked, and no step is made. Of styles, an encoder guesses; then Adam moves
    the style against the mean distance of pixels at three resolutions, and lightly against its own length: a style far
    from the mean has a picture that no axis fits.

    Args:
        space: of the model.
        image: uint8 (C, H, W).
        encoder: gives the encoder of styles, which may be costly.
        steps: of Adam.

    Raises:
        UserError: the model has neither styles nor an encoder.
    """
    module = space.module
    if isinstance(module, LatentModule):
        code = module.encode(image[None], space.condition(1))
        distance = _distance(space, code, image)
        return Found(code[0], distance, distance)
    if not isinstance(module, StyleModule):
        raise UserError(f"{type(module).__name__} has no encoder of pictures: want a StyleGAN2 or a VAE")
    net = encoder()
    start = net(image[None])
    code = _towards(module, net, start, to_signed(image[None], module.spec.levels), steps)
    return Found(code[0], _distance(space, start, image), _distance(space, code, image))


def _towards(module: StyleModule, net: StyleEncoder, start: Tensor, target: Tensor, steps: int) -> Tensor:
    """Move a style (1, W) so that its picture comes near `target`, signed (1, C, H, W)."""
    with torch.enable_grad():
        place = ((start - net.mean) / net.scale).clamp(-2, 2).requires_grad_(True)  # in standard deviations
        optimizer = torch.optim.Adam([place], lr=0.1)
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / steps)
            picture = module.paint(net.mean + net.scale * place)
            loss = 0.01 * place.square().mean()
            for factor in (1, 2, 4):
                loss = loss + avg_pool2d(picture - target, factor).abs().mean()
            (place.grad,) = torch.autograd.grad(loss, [place])
            optimizer.step()
    return (net.mean + net.scale * place).detach()


def _distance(space: CodeSpace, code: Tensor, image: Tensor) -> float:
    made = space.images(code)[0].float()
    return float((made - image.float()).abs().mean()) / (space.module.spec.levels - 1)
