"""What text to image adds to the losses of a GAN: wrong pairs, the right caption among many, a penalty at real pairs,
equal colours of all sizes."""

import itertools
from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, mse_loss

from lightning_gen.errors import UserError
from lightning_gen.precision import at_least_float32, full_precision

__all__ = ["CaptionContrast", "MatchingPenalty", "colour_consistency", "equal_rows", "mismatched_rows"]


def mismatched_rows(words: Tensor) -> Tensor:
    """Find for each row the next one of the batch whose text differs, so that a wrong pair is never a right one.

    Args:
        words: the texts as read, (B, L); equal rows are equal texts.

    Returns:
        int64 (B,); a row where all texts are equal gets itself.
    """
    same = equal_rows(words)  # (B, B)
    place = torch.arange(len(words), device=words.device)
    steps = torch.remainder(place[None] - place[:, None], len(words))  # from row i to row j, going on at the start
    return (steps + len(words) * same).argmin(1)


@final
class CaptionContrast:
    """weight * E -log( exp s(x, t) / sum_j exp s(x, t_j) ): of the captions t_j of the batch and of the training set,
    the picture's own one, t, shall fit best (the loss of images and sentences of Zhang et al. 2021, XMC-GAN, where
    there are those of the batch alone, and s is a cosine).

    A single wrong caption nearly always differs in several words, and the easiest of them settles it: the others are
    never learned. Among a thousand captions some differ in the hardest word alone.

    Args:
        weight: 0 or more.
        captions: of the training set, beside those of the batch, 0 or more; an encoder keeps 1,000.
        alone: the first training images, of each stage, from which the discriminators learn this loss and no other,
            while the generator waits; 0 or more. A step without the generator is cheap, and what the generator is told
            from then on is sound, as in AttnGAN (Xu et al. 2018), whose encoders learn before the generator.
    """

    def __init__(self, weight: float = 1.0, captions: int = 1000, alone: int = 0) -> None:
        if weight < 0 or captions < 0 or alone < 0:
            wanted = "want 0 or more of each"
            raise UserError(f"contrast has weight {weight:g}, {captions} captions, {alone} images alone: {wanted}")
        self.weight, self.captions, self.alone = weight, captions, alone

    def __call__(self, scores: Tensor, same: Tensor) -> Tensor:
        """Compute the loss; captions that equal the right one do not count.

        Args:
            scores: s(x, t_j), (B, B + M): of the captions of the batch, then of M others.
            same: bool of the same shape, from `equal_rows`.

        Returns:
            scalar in nats.
        """
        same = same & ~torch.eye(*same.shape, dtype=torch.bool, device=same.device)
        right = scores.diagonal()  # (B,)
        return self.weight * (scores.masked_fill(same, float("-inf")).logsumexp(1) - right).mean()


def equal_rows(words: Tensor, *others: Tensor) -> Tensor:
    """Say which texts are equal.

    Args:
        words: of a batch as read, (B, L).
        others: further ones, (M, L); none, M = 0.

    Returns:
        bool (B, B + M): whether text i of the batch equals text j of the batch and of the others.
    """
    return (words[:, None] == torch.cat([words, *others])[None]).all(2)


@final
class MatchingPenalty:
    """weight * E |grad D(x, t)|^power over the image x and the code t of real pairs (Tao et al. 2022, DF-GAN, Eq. 1):
    real pictures with their own text lie on a smooth top of D.

    Args:
        weight: k of the paper, 0 or more.
        power: p of the paper, above 0.
    """

    def __init__(self, weight: float = 2.0, power: float = 6.0) -> None:
        if weight < 0 or not power > 0:
            raise UserError(f"penalty is {weight:g} times the power {power:g}: want 0 or more, and above 0")
        self.weight, self.power = weight, power

    def __call__(self, critic: Callable[[Tensor, Tensor], Tensor], image: Tensor, code: Tensor) -> Tensor:
        """Compute the penalty of `critic`, called with (image (B, C, H, W), code (B, K)), at these pairs."""
        image, code = (at_least_float32(x).detach().requires_grad_(True) for x in (image, code))
        with full_precision(image):  # the sixth power of a norm with three digits has hardly two
            found = torch.autograd.grad(critic(image, code).sum(), (image, code), create_graph=True)
        squared = sum(part.flatten(1).square().sum(1) for part in found)  # (B,)
        assert isinstance(squared, Tensor)
        return self.weight * (squared + 1e-12).pow(self.power / 2).mean()


def colour_consistency(images: Sequence[Tensor]) -> Tensor:
    """Compare mean colours and covariances of colours of the pictures of each size with those of the next smaller one:
    |mu_i - mu_(i-1)|^2 + 5 |S_i - S_(i-1)|^2, means over channels and pictures (Zhang et al. 2018, Eq. 8, with the
    factors of the reference code). The smaller picture carries no gradient.

    Args:
        images: signed (B, C, h, w) each, from the smallest; 2 or more.
    """
    total = images[0].new_zeros(())
    for small, large in itertools.pairwise(images):
        (mean, spread), (target, wanted) = _statistics(large), _statistics(small.detach())
        total = total + mse_loss(mean, target) + 5.0 * mse_loss(spread, wanted)
    return total


def _statistics(image: Tensor) -> tuple[Tensor, Tensor]:
    mean = adaptive_avg_pool2d(image, 1)  # (B, C, 1, 1)
    centred = (image - mean).flatten(2)
    return mean.flatten(1), centred @ centred.transpose(1, 2) / centred.shape[2]
