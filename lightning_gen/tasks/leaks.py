"""Whether augmentations of what the discriminator sees have leaked into a GAN's samples, by a probe trained here."""

import torch
from torch import Generator

from lightning_gen.batches import join
from lightning_gen.config.arguments import Arguments, positive
from lightning_gen.config.loading import load_run
from lightning_gen.contracts import AdversarialModule, GenerativeModule
from lightning_gen.errors import UserError
from lightning_gen.metrics.leaks import leak
from lightning_gen.tasks.common.require import require

__all__ = ["main"]


@torch.no_grad()
def main(arguments: list[str]) -> None:
    """``lightning-gen leaks RUN [--images N] [--steps N] [--seed S]``."""
    parser = Arguments("leaks", __doc__)
    parser.run()
    parser.add_argument("--images", type=positive, default=2048, help="real and generated ones (2048)")
    parser.add_argument("--steps", type=positive, default=300, help="batches that the probe learns from (300)")
    parser.seed()
    options = parser.parse_args(arguments)

    loaded, data = load_run(options.run, options.checkpoint)
    module = require(loaded, GenerativeModule)
    real = join(list(data.batches("train", 256, 0, options.images)))["image"]
    x = real[:64].float() / 255
    if not isinstance(loaded, AdversarialModule) or torch.equal(loaded.augmented(x), x):
        raise UserError(f"run {options.run} augments nothing that its discriminator sees: want one that does")
    generator = Generator().manual_seed(options.seed)
    made = [module.sample(64, generator=generator) for _ in range(-(-options.images // 64))]
    found = leak(real, torch.cat(made)[: options.images], loaded.augmented, data.spec, options.steps)
    print(f"taken for augmented: {found.real:.1%} of real, {found.augmented:.1%} of augmented real, ", end="")
    print(f"{found.generated:.1%} of generated images; leak {found.share:.2f} (0: none, 1: all)")
