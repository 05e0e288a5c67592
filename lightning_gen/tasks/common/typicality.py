"""How strange images are to a model of others: scores made of negative log-likelihoods, higher is stranger.

nats          the negative log-likelihood itself; simple images are likely under a model of intricate ones
typicality    its distance from the mean over training images (Nalisnick et al. 2019, Section 3)
complexity    less the length of the image as a PNG or zlib file, the smaller (Serra et al. 2020, Eq. 3)
ratio         less that of a second model, of the background (Ren et al. 2019, Eq. 3)
"""

import io
import math
import zlib

import torch
from PIL import Image
from torch import Tensor

__all__ = ["code_lengths", "statistics"]


def code_lengths(image: Tensor) -> Tensor:
    """Measure code lengths, uint8 (B, C, H, W) -> nats of each image as a file of its own, headers included, float64
    (B,)."""
    return torch.tensor([math.log(2.0) * 8 * _bytes(picture) for picture in image], dtype=torch.float64)


def _bytes(picture: Tensor) -> int:
    pixels = picture.permute(1, 2, 0).squeeze(-1).contiguous().numpy()
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", optimize=True)
    return min(stream.tell(), len(zlib.compress(pixels.tobytes(), 9)))


def statistics(nats: Tensor, image: Tensor, typical: float, background: Tensor | None = None) -> dict[str, Tensor]:
    """Compute the scores of images.

    Args:
        nats: negative log-likelihood of each, float64 (B,).
        image: uint8 (B, C, H, W).
        typical: mean negative log-likelihood of training images.
        background: that of the second model, (B,) (None: no ratio).

    Returns:
        name -> float64 (B,).
    """
    found = {"nats": nats, "typicality": (nats - typical).abs(), "complexity": nats - code_lengths(image)}
    return found if background is None else found | {"ratio": nats - background}
