"""How super-resolution is measured: on the luma of television, without a border of the scale."""

import torch
from torch import Tensor

from lightning_gen.metrics.pairs import SMALLEST_SIDE, similarity

__all__ = ["luma", "scaled_table"]

#: of red, green and blue, 0..255, in the luma, 16..235 (ITU-R BT.601, studio range)
_WEIGHTS = (65.481, 128.553, 24.966)


def luma(image: Tensor) -> Tensor:
    """uint8 (B, 1 or 3, H, W), values 0..255 -> Y, float64 (B, 1, H, W), 16..235, not rounded: 16 + (65.481 R + 128.553
    G + 24.966 B) / 255. Grey is taken as R = G = B."""
    pixels = image.double()
    if image.shape[1] == 1:
        return 16.0 + pixels * (sum(_WEIGHTS) / 255.0)
    weights = torch.tensor(_WEIGHTS, dtype=torch.float64, device=image.device).view(1, 3, 1, 1)
    return 16.0 + (pixels * weights).sum(1, keepdim=True) / 255.0


def scaled_table(image: Tensor, target: Tensor, border: int) -> dict[str, Tensor]:
    """Measure pairs as super-resolution is measured: ``psnr_y`` and ``psnr_rgb`` in dB of a peak of 255; ``ssim_y`` and
    ``ssim_rgb`` where 11 pixels are left; ``texture_y``, the mean gradient of the image's luma by that of the target's,
    or the inverse where that is smaller: 1 for as much fine detail, less for a blurred or a noisy image.

    Args:
        image: uint8 (B, 1 or 3, H, W), values 0..255.
        target: the same shape.
        border: pixels that are cut off at each side; fewer where nothing would be left.

    Returns:
        float64 (B,) each.
    """
    border = min(border, (min(image.shape[2:]) - 1) // 2)
    inside = slice(border, -border or None)
    table: dict[str, Tensor] = {}
    for name, channels in (("y", luma), ("rgb", Tensor.double)):
        x, y = (channels(part)[:, :, inside, inside] for part in (image, target))
        table[f"psnr_{name}"] = 10 * (255.0**2 / (x - y).square().flatten(1).mean(1)).log10()
        if min(x.shape[2:]) >= SMALLEST_SIDE:
            table[f"ssim_{name}"] = similarity(x.float(), y.float(), 255.0).double()  # many times as fast as float64
        if name == "y":
            ratio = _gradient(x).clamp(min=1e-9) / _gradient(y).clamp(min=1e-9)
            table["texture_y"] = torch.minimum(ratio, 1 / ratio)
    return table


def _gradient(y: Tensor) -> Tensor:
    """(B, 1, H, W) -> (B,): the mean absolute difference of neighbours."""
    steps = [part.abs().flatten(1).sum(1) for part in (y.diff(dim=2), y.diff(dim=3))]
    height, width = y.shape[2:]
    count = max(1, height * (width - 1) + (height - 1) * width)
    return (steps[0] + steps[1]) / count
