"""Three small systems that hold no noise -> image GAN: do the contracts hold them? None of them is part of the project.

Paired: a translation model against a patch discriminator that moves first (Isola et al. 2017).
Cyclic: two generators, two discriminators, a pool of past fakes, generators first (Zhu et al. 2017).
Phased: an upscaler that learns from pixels first and against a discriminator later (Ledig et al. 2017).
"""

from collections.abc import Mapping
from functools import cached_property

import torch
from torch import nn
from torch.nn.functional import interpolate, l1_loss, mse_loss

from lightning_gen.contracts import AdversarialModule, BackTranslationModule, TranslationModule
from lightning_gen.data.memory import MemoryImages
from lightning_gen.images import ImageSpec, from_signed, to_signed
from lightning_gen.losses.adversarial import LeastSquares, NonSaturating


class Pairs(MemoryImages):
    """Random pictures 8x8, and as sources their negatives, of half the size for `half`."""

    def __init__(self, half: bool = False, **loader) -> None:
        super().__init__(**{"batch_size": 4, **loader})
        self.half = half

    @property
    def spec(self):
        side = 4 if self.half else 8
        return ImageSpec(1, 8, 8, source=ImageSpec(1, side, side))

    @property
    def name(self):
        return "pairs"

    def load(self) -> Mapping:
        pictures = torch.randint(256, (40, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
        source = 255 - (pictures[:, :, ::2, ::2] if self.half else pictures)
        rows = {"image": pictures, "source": source}
        return {name: {k: v[at] for k, v in rows.items()} for name, at in _PARTS.items()}


_PARTS = {"train": slice(0, 32), "val": slice(32, 36), "test": slice(36, 40)}


def _net(into: int, out: int = 1) -> nn.Module:
    return nn.Sequential(nn.Conv2d(into, 4, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(4, out, 3, padding=1))


class Paired(AdversarialModule, TranslationModule):
    generator_weights = {"adversarial": 1.0, "l1": 100.0}  # noqa: RUF012
    discriminator_weights = {"adversarial": 0.5}  # noqa: RUF012

    def __init__(self, spec, training):
        super().__init__(spec, training)
        self.game, self.generator, self.discriminator = NonSaturating(), _net(1), _net(2)

    def _signed(self, batch):
        return to_signed(batch["source"], 256), to_signed(batch["image"], 256)

    def make_fakes(self, batch):
        return self.generator(self._signed(batch)[0]).tanh()

    def discriminator_losses(self, batch):
        source, real = self._signed(batch)
        logits = [self.discriminator(torch.cat([source, x], 1)) for x in (real, self.fakes(batch).detach())]
        self.latest_logits = {"real": logits[0].detach(), "fake": logits[1].detach()}
        return {"adversarial": self.game.discriminator(*logits)}

    def generator_losses(self, batch):
        (source, real), fake = self._signed(batch), self.fakes(batch)
        logits = self.discriminator(torch.cat([source, fake], 1))
        return {"adversarial": self.game.generator(logits, lambda: logits), "l1": l1_loss(fake, real)}

    def translate(self, batch, generator=None):
        return from_signed(self.make_fakes({**batch, "image": batch["source"]}), 256)


class Cyclic(AdversarialModule, TranslationModule, BackTranslationModule):
    order = ("generator", "discriminator")
    generator_weights = {"there": 1.0, "back": 1.0, "cycle": 10.0}  # noqa: RUF012

    def __init__(self, spec, training):
        super().__init__(spec, training)
        self.game = LeastSquares()
        self.generator = nn.ModuleDict({"there": _net(1), "back": _net(1)})
        self.discriminator = nn.ModuleDict({"there": _net(1), "back": _net(1)})
        self.pool: dict[str, torch.Tensor] = {}

    def make_fakes(self, batch):
        a, b = to_signed(batch["source"], 256), to_signed(batch["image"], 256)
        there, back = self.generator["there"](a), self.generator["back"](b)
        return {"there": there, "back": back, "a": self.generator["back"](there), "b": self.generator["there"](back)}

    def generator_losses(self, batch):
        fakes, (a, b) = self.fakes(batch), (to_signed(batch[key], 256) for key in ("source", "image"))
        of = {side: self.discriminator[side](fakes[side]) for side in ("there", "back")}
        losses = {side: self.game.generator(logits, lambda logits=logits: logits) for side, logits in of.items()}
        return losses | {"cycle": l1_loss(fakes["a"], a) + l1_loss(fakes["b"], b)}

    def discriminator_losses(self, batch):
        fakes, losses = self.fakes(batch), {}
        for side, key in (("there", "image"), ("back", "source")):
            past = self.pool.get(side, fakes[side].detach())
            self.pool[side] = torch.cat([fakes[side].detach(), past])[: len(past)]
            of_real, of_fake = self.discriminator[side](to_signed(batch[key], 256)), self.discriminator[side](past)
            losses[side] = self.game.discriminator(of_real, of_fake)
        return losses

    def process_state(self):
        return dict(self.pool)

    def load_process_state(self, state):
        self.pool = dict(state)

    def translate(self, batch, generator=None):
        return from_signed(self.generator["there"](to_signed(batch["source"], 256)), 256)

    def translate_back(self, batch, generator=None):
        return from_signed(self.generator["back"](to_signed(batch["image"], 256)), 256)


class Phased(AdversarialModule, TranslationModule):
    order = ("generator", "discriminator")
    generator_weights = {"pixel": 1.0, "adversarial": 1e-3}  # noqa: RUF012

    def __init__(self, spec, training, every: int = 2):
        super().__init__(spec, training)
        self.game, self.generator, self.discriminator, self.every = NonSaturating(), _net(1), _net(1), every
        self.register_buffer("mean_output", torch.zeros(()))  # what a path-length penalty would keep

    def make_fakes(self, batch):
        return self.generator(interpolate(to_signed(batch["source"], 256), scale_factor=2.0))

    def generator_losses(self, batch):
        fake = self.fakes(batch)

        def adversarial():
            logits = self.discriminator(fake)
            return self.game.generator(logits, lambda: logits)

        return {"pixel": mse_loss(fake, to_signed(batch["image"], 256)), "adversarial": adversarial}

    def discriminator_losses(self, batch):
        of_real = self.discriminator(to_signed(batch["image"], 256))
        return {"adversarial": self.game.discriminator(of_real, self.discriminator(self.fakes(batch).detach()))}

    def regularization(self, player, batch):
        if player == "discriminator" or self.steps_made[player] % self.every:
            return {}
        size = self.make_fakes(batch).square().mean()
        self.mean_output.lerp_(size.detach(), 0.1)
        return {"size": (size - self.mean_output).square()}

    def translate(self, batch, generator=None):
        return from_signed(self.make_fakes(batch), 256)

    @cached_property
    def names(self):
        return [name for name, _ in self.named_parameters()]
