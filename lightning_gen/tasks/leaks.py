"""Whether augmentations of what the discriminator sees have leaked into a GAN's samples, by a probe trained here."""

import torch
from torch import Generator

from lightning_gen.batches import join
from lightning_gen.config.arguments import Arguments, positive, share
from lightning_gen.config.loading import load_run
from lightning_gen.contracts import AdversarialModule, GenerativeModule, ImageModule
from lightning_gen.errors import UserError
from lightning_gen.metrics.leaks import leak
from lightning_gen.tasks.common.require import require

__all__ = ["main"]


@torch.no_grad()
def main(arguments: list[str]) -> None:
    """``lightning-gen leaks RUN [--images N] [--steps N] [--probability P] [--seed S]``."""
    parser = Arguments("leaks", __doc__)
    parser.run()
    parser.add_argument("--images", type=positive, default=2048, help="real and generated ones (2048)")
    parser.add_argument("--steps", type=positive, default=300, help="batches that the probe learns from (300)")
    about = "of each augmentation, 0 to 1 (as the run ended; an exported model has lost it)"
    parser.add_argument("--probability", type=share, help=about)
    parser.seed()
    options = parser.parse_args(arguments)

    loaded, data = load_run(options.run, options.checkpoint)
    module = require(loaded, GenerativeModule)
    if options.probability is not None:
        _set_probability(loaded, options.probability)
    real = join(list(data.batches("train", 256, 0, options.images)))["image"]
    x = real[:64].float() / 255
    if not isinstance(loaded, AdversarialModule) or torch.equal(loaded.augmented(x), x):
        got = f"run {options.run} augments nothing that its discriminator sees"
        raise UserError(f"{got}: want one that does, or of an export --probability")
    generator = Generator().manual_seed(options.seed)
    made = [module.sample(64, generator=generator) for _ in range(-(-options.images // 64))]
    found = leak(real, torch.cat(made)[: options.images], loaded.augmented, data.spec, options.steps)
    print(f"taken for augmented: {found.real:.1%} of real, {found.augmented:.1%} of augmented real, ", end="")
    print(f"{found.generated:.1%} of generated images: {found.look:.2f} of the way from real to augmented")
    print(f"told from the same augmented: {found.once:.1%} of real, {found.twice:.1%} of augmented real, ", end="")
    print(f"{found.again:.1%} of generated images: {found.change:.2f} ± {found.error:.2f} of the way")
    print(f"told from real and augmented real together: {found.apart:.1%} of generated images")
    print(found.verdict)


def _set_probability(module: ImageModule, value: float) -> None:
    """Of augmentations whose probability changes in training; it is part of a model's state, not of an export's."""
    found = dict(module.named_buffers()).get("augment.probability")
    if found is None:
        raise UserError(f"--probability {value:g} given: want nothing, for this run's augmentations have a fixed one")
    found.fill_(value)
