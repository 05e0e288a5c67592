"""How near a translated picture is to its target: PSNR, SSIM (Wang et al. 2004) and LPIPS (Zhang et al. 2018), means
over pairs, on torchmetrics' implementations."""

import math
from pathlib import Path
from typing import final

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from lightning_gen.errors import UserError
from lightning_gen.metrics.distances import Value
from lightning_gen.metrics.extractors import weights_hash

__all__ = [
    "SMALLEST_SIDE",
    "LearnedSimilarity",
    "learned_similarity",
    "pair_table",
    "pair_values",
    "psnr",
    "similarity",
]


#: pixels, the window of SSIM
SMALLEST_SIDE = 11


def pair_values(image: Tensor, target: Tensor, levels: int) -> list[Value]:
    """``psnr`` in dB and ``ssim`` in -1..1, each with its standard error over pairs; higher is better.

    Of a pair that is equal in every pixel the PSNR is infinite: the mean is then infinite too, and reported as such.
    `psnr` of a whole set is another number: it averages the squared errors first, over all pixels.

    Args:
        image: uint8 (N, C, H, W), values 0..levels-1.
        target: the same shape.
        levels: of both; the peak is levels - 1.

    Raises:
        UserError: other types or shapes, or pictures below 11 pixels, the window of SSIM.
    """
    if image.dtype != torch.uint8 or target.dtype != torch.uint8 or image.shape != target.shape:
        got = f"{image.dtype} {tuple(image.shape)} and {target.dtype} {tuple(target.shape)}"
        raise UserError(f"image and target are {got}: want two uint8 (N, C, H, W) of one shape")
    if min(image.shape[2:]) < SMALLEST_SIDE:
        raise UserError(f"image has {image.shape[2]}x{image.shape[3]} pixels: SSIM wants 11x11 or more")
    table = pair_table(image, target, levels)
    return [_value("psnr", table["psnr"]), _value("ssim", table["ssim"])]


def pair_table(image: Tensor, target: Tensor, levels: int) -> dict[str, Tensor]:
    """Measure each pair: ``psnr`` in dB, ``l1`` as a share of the range, and ``ssim`` where the sides allow its window.

    Args:
        image: uint8 (N, C, H, W), values 0..levels-1.
        target: the same shape.
        levels: of both; the peak is levels - 1.

    Returns:
        float (N,) each. SSIM is the mean over the places where its window lies inside the picture.
    """
    x, y, peak = image.float(), target.float(), float(levels - 1)
    decibels = _decibels(_squared_error(image, target), levels)
    table = {"psnr": decibels, "l1": (x - y).abs().flatten(1).mean(1) / peak}
    if min(x.shape[2:]) >= SMALLEST_SIDE:
        table["ssim"] = similarity(x, y, peak)
    return table


def similarity(x: Tensor, y: Tensor, peak: float) -> Tensor:
    """Compute SSIM of pairs, float (N, C, H, W), 11 pixels or more, of a range of `peak` -> (N,): the mean over the
    places where its window lies inside the picture, as Wang et al. have it."""
    options = {"data_range": peak, "reduction": "none", "return_full_image": True}
    _, places = structural_similarity_index_measure(x, y, **options)  # type: ignore[arg-type]
    return places[..., 5:-5, 5:-5].flatten(1).mean(1)


def psnr(image: Tensor, target: Tensor, levels: int) -> float:
    """Compute the peak signal-to-noise ratio in dB, of the mean squared error over all pixels of a set; infinite where
    equal.

    Args:
        image: uint8 (N, C, H, W), values 0..levels-1.
        target: the same shape.
        levels: the peak is levels - 1.
    """
    return float(_decibels(_squared_error(image, target).mean(), levels))


def _squared_error(image: Tensor, target: Tensor) -> Tensor:
    """The mean over the pixels of each pair, float64 (N,)."""
    return (image.double() - target.double()).square().flatten(1).mean(1)


def _decibels(squared_error: Tensor, levels: int) -> Tensor:
    return 20 * math.log10(levels - 1) - 10 * squared_error.log10()


@final
class LearnedSimilarity:
    """LPIPS of AlexNet: how far apart two colour pictures are to a network, 0 for equal ones.

    Args:
        weights: file with the weights of torchvision's AlexNet (``alexnet-owt-7be5be79.pth``); the few that LPIPS adds
            come with torchmetrics.

    Raises:
        UserError: no such file, or one of another network.
    """

    def __init__(self, weights: str | None) -> None:
        if weights is None or not Path(weights).is_file():
            raise UserError(f"lpips.weights is {weights}: want a file with the weights of torchvision's AlexNet")
        from torchmetrics.functional.image import lpips
        from torchvision.models import alexnet

        net = alexnet()
        try:
            net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        except Exception as error:  # whatever a foreign file leads to
            wanted = "want the weights of torchvision's AlexNet"
            raise UserError(f"lpips.weights {weights} does not fit: {wanted}") from error
        self.judge = lpips._LPIPS(pretrained=True, net="alex", pnet_rand=True, eval_mode=True)
        # pnet_rand: torchmetrics would download the backbone; its layers are those of torchvision, in order.
        slices = [part for name, part in self.judge.net.named_children() if name.startswith("slice")]
        own = [layer for part in slices for layer in part.children()]
        for mine, given in zip(own, net.features, strict=False):
            mine.load_state_dict(given.state_dict())
        self.hash = weights_hash(self.judge)

    @torch.no_grad()
    def __call__(self, image: Tensor, target: Tensor, levels: int) -> Tensor:
        """Compare uint8 (B, 3, H, W) with as many, 32 pixels or more: float (B,), lower is better."""
        if image.shape[1] != 3 or min(image.shape[2:]) < 32:
            got = "x".join(map(str, image.shape[1:]))
            raise UserError(f"pictures are {got}: LPIPS wants 3 channels, 32x32 or more")
        self.judge.to(image.device)
        x, y = (part.float() * (2 / (levels - 1)) - 1 for part in (image, target))
        return self.judge(x, y).flatten()


def learned_similarity(image: Tensor, target: Tensor, levels: int, weights: str | None) -> Value:
    """Measure ``lpips`` of two sets of pictures, a mean over pairs; arguments as of `LearnedSimilarity`."""
    return _value("lpips", LearnedSimilarity(weights)(image, target, levels), "lower")


def _value(name: str, values: Tensor, better: str = "higher") -> Value:
    values = values.double()
    error = float(values.std() / len(values) ** 0.5) if len(values) > 1 and bool(values.isfinite().all()) else None
    return Value(name, float(values.mean()), error, better)  # type: ignore[arg-type]
