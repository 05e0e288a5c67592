"""StyleGAN2 (Karras et al. 2020a), with adaptive augmentation (Karras et al. 2020b)."""

import math
from collections.abc import Callable, Hashable, Iterable
from typing import Any, cast, final

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import softplus
from torch.optim import Optimizer

from lightning_gen.batches import Batch, select_rows
from lightning_gen.contracts import AdversarialTraining, Losses, OptimizerFactory, PlayerName, StyleModule
from lightning_gen.errors import IMAGE_LIMIT, UserError, check_counts
from lightning_gen.images import ImageSpec, from_signed, to_signed
from lightning_gen.losses.penalties import R1, StepCount
from lightning_gen.models.noise_to_image import NoiseToImage
from lightning_gen.nets.condition import Condition, Unconditional, check_vector_only
from lightning_gen.nets.gan.augment import Augment, NoAugment
from lightning_gen.nets.gan.discriminator import Discriminator
from lightning_gen.nets.gan.generator import ConditionedGenerator
from lightning_gen.nets.gan.style_generator import StyleGenerator
from lightning_gen.nets.gan.style_layers import ModulatedConv2d
from lightning_gen.precision import full_precision

__all__ = ["StyleGAN2", "path_lengths"]


@final
class StyleGAN2(NoiseToImage, StyleModule):
    """The non-saturating game with R1 and path length as optimizer steps of their own, every so many main steps (Karras
    et al. 2020a, Appendix B). Both penalties are computed in float32.

    Args:
        spec: of the images; each side is 4 or more, divisible by powers of two for a coarse start.
        generator: called with (spec, latent_dim, K), gives a `StyleGenerator`.
        discriminator: called with (spec).
        training: how the players learn; optimizers as for training without penalties, they are corrected here.
        latent_dim: Z, 1 or more.
        condition: of both players, as a vector of length K, called with (spec).
        gamma: weight of R1, 0 or more (0.0002 * H * W / batch size in Karras et al. 2020b).
        r1_every: discriminator steps between two of R1's.
        path_weight: of the path length, 0 or more (0 for small images).
        path_every: generator steps between two of the path length's.
        mixing: probability that an image has two styles, cut at a random layer; 0 to 1.
        augment: of all that the discriminator sees (None: nothing).

    Raises:
        UserError: a value is out of range, or the players are conditioned on different things.
    """

    generator: ConditionedGenerator
    discriminator: Discriminator
    path_mean: Tensor

    def __init__(
        self,
        spec: ImageSpec,
        generator: Callable[[ImageSpec, int, int], nn.Module],
        discriminator: Callable[[ImageSpec], Discriminator],
        training: AdversarialTraining,
        latent_dim: int = 512,
        condition: Callable[[ImageSpec], Condition] = Unconditional,
        gamma: float = 1.0,
        r1_every: int = 16,
        path_weight: float = 2.0,
        path_every: int = 4,
        mixing: float = 0.9,
        augment: Augment | None = None,
    ) -> None:
        check_counts("model", limit=IMAGE_LIMIT, r1_every=r1_every, path_every=path_every)
        check_counts("model", latent_dim=latent_dim)
        _check_weights(gamma, path_weight, mixing)
        super().__init__(spec, _corrected(training, r1_every if gamma else 0, path_every if path_weight else 0))
        self.latent_dim, self.mixing, self.r1 = latent_dim, mixing, R1(gamma)
        self.gamma, self.r1_every, self.path_weight, self.path_every = gamma, r1_every, path_weight, path_every
        conditions = condition(spec)
        check_vector_only(conditions, "StyleGAN2")
        net = generator(spec, latent_dim, conditions.features)
        if not isinstance(net, StyleGenerator):
            raise UserError(f"model.generator is {type(net).__name__}: want StyleGenerator")
        self.generator, self.discriminator = ConditionedGenerator(conditions, net), discriminator(spec)
        self.augment = augment or NoAugment()
        #: moving mean of the path length
        self.register_buffer("path_mean", torch.zeros(()))
        self.check_same_condition(self.discriminator)

    @property
    def net(self) -> StyleGenerator:
        """The generator without its condition."""
        return cast(StyleGenerator, self.generator.net)

    @property
    def ema_copied(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.generator.named_buffers())

    def make_fakes(self, batch: Batch) -> Tensor:
        return self.net.synthesis(self._mixed(batch), drawn=True)

    def _mixed(self, batch: Batch, track: bool = True) -> Tensor:
        """Draw styles (B, L, W) for the rows of a batch, two for some images."""
        w, other = (self.styles(self.noise(len(batch["image"]), self.latent_dim), batch) for _ in range(2))
        if track:
            self.net.track(w)
        layers = self.net.synthesis.count
        cut = torch.randint(1, layers, (len(w), 1), device=w.device)
        after = torch.arange(layers, device=w.device) >= cut  # (B, L)
        after &= torch.rand(len(w), 1, device=w.device) < self.mixing
        return torch.where(after[:, :, None], self.net.everywhere(other), self.net.everywhere(w))

    def _logits(self, x: Tensor, batch: Batch) -> Tensor:
        """Of signed images (B, C, H, W), augmented as in training."""
        return self.discriminator(self.augment(x), batch).logits

    def discriminator_losses(self, batch: Batch) -> Losses:
        real, fake = to_signed(batch["image"], self.spec.levels), self.fakes(batch).detach()
        seen = self.augment(torch.cat([real, fake])).split(len(real))  # image by image: one call serves both
        of_real, of_fake = (self.discriminator(x, batch).logits for x in seen)
        self.latest_logits = {"real": of_real.detach(), "fake": of_fake.detach()}
        return {"adversarial": softplus(-of_real).mean() + softplus(of_fake).mean()}

    def generator_losses(self, batch: Batch) -> Losses:
        return {"adversarial": softplus(-self._logits(self.fakes(batch), batch)).mean()}

    def regularization(self, player: PlayerName, batch: Batch) -> Losses:
        if not self._due(player, self.steps_made[player] - 1):
            return {}
        with full_precision(self.path_mean):
            return {"r1": self._r1(batch)} if player == "discriminator" else {"path": self._path(batch)}

    def _due(self, player: PlayerName, step: int) -> bool:
        """Whether the penalty of `player` follows its main step of this number, 0 for the first."""
        every = self.r1_every if player == "discriminator" else self.path_every
        weight = self.gamma if player == "discriminator" else self.path_weight
        return bool(weight) and step % every == 0

    def _r1(self, batch: Batch) -> Tensor:
        """R1 with respect to the images before augmentation, times the steps that it stands for."""
        real = to_signed(batch["image"], self.spec.levels)
        count = StepCount(self.steps_made["discriminator"], self.images_seen)
        zero = real.new_zeros(())

        def critic(x: Tensor) -> Tensor:
            nonlocal zero
            logits = self._logits(x, batch)
            zero = 0.0 * logits.sum()  # a gradient of 0, not None, where R1 has none: Adam goes on at every parameter
            return logits

        return self.r1_every * self.r1.penalty(critic, real, real, count) + zero

    def _path(self, batch: Batch) -> Tensor:
        """(length - moving mean)^2 on half a batch, times the steps that it stands for (Karras et al. 2020a, Eq. 4)."""
        half = select_rows(batch, 0, max(1, len(batch["image"]) // 2))
        w = self._mixed(half, track=False)
        image = self.net.synthesis(w, drawn=True)
        lengths = path_lengths(image, w, torch.randn_like(image))  # (B / 2,)
        mean = self.path_mean.lerp(lengths.detach().mean(), 0.01)
        self.path_mean.copy_(mean)
        return self.path_every * self.path_weight * (lengths - mean).square().mean() + 0.0 * image.sum()

    def step_constants(self) -> Hashable:
        players: tuple[PlayerName, ...] = ("discriminator", "generator")
        return tuple(self._due(player, self.steps_made[player]) for player in players)

    def sample(
        self,
        n: int,
        condition: Batch | None = None,
        temperature: float = 1.0,
        generator: Generator | None = None,
    ) -> Tensor:
        """As `GenerativeModule.sample`. The mapping normalises its noise, so that a scale of it would change nothing:
        `temperature` scales the distance of styles from their mean instead, and is what `truncate` calls a share."""
        rows = self.condition.rows(condition, n, generator)
        w = self.styles(self.noise(n, self.latent_dim, generator=generator), rows)
        return self.render(self.truncate(w, temperature))

    @property
    def style_mean(self) -> Tensor:
        return self.net.w_mean

    @property
    def style_weights(self) -> Tensor:
        layers = [layer.affine for layer in self.net.modules() if isinstance(layer, ModulatedConv2d)]
        return torch.cat([layer.weight * layer.scale for layer in layers])

    def styles(self, z: Tensor, condition: Batch | None = None) -> Tensor:
        return self.net.mapping(z, self.condition.vector(condition))

    def paint(self, w: Tensor) -> Tensor:
        return self.net.synthesis(self.net.everywhere(w))

    def render(self, w: Tensor, generator: Generator | None = None) -> Tensor:
        w = self.net.everywhere(w) if w.dim() == 2 else w
        return from_signed(self.net.synthesis(w, generator is not None, generator), self.spec.levels)


def path_lengths(image: Tensor, w: Tensor, y: Tensor) -> Tensor:
    """Euclidean norm of J^T y / sqrt(H W) with the Jacobian J of an image by its styles, mean square over layers.

    Args:
        image: (B, C, H, W), a function of `w`.
        w: (B, L, W).
        y: standard normal, of the shape of `image`.

    Returns:
        (B,), with a gradient.
    """
    y = y / math.sqrt(image.shape[2] * image.shape[3])
    (gradient,) = torch.autograd.grad((image * y).sum(), w, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()


def _check_weights(gamma: float, path_weight: float, mixing: float) -> None:
    for name, value in {"gamma": gamma, "path_weight": path_weight}.items():
        if value < 0:
            raise UserError(f"model.{name} is {value}: want 0 or more")
    if not 0 <= mixing <= 1:
        raise UserError(f"model.mixing is {mixing}: want 0 to 1")


def _corrected(training: AdversarialTraining, r1_every: int, path_every: int) -> AdversarialTraining:
    """Correct both optimizers for the steps of the penalties; 0: there are none."""
    one, other = training.generator_optimizer, training.discriminator_optimizer
    changed = dict(vars(training))
    changed |= {"generator_optimizer": _lazily(one, path_every), "discriminator_optimizer": _lazily(other, r1_every)}
    return AdversarialTraining(**changed)


def _lazily(factory: OptimizerFactory, every: int) -> OptimizerFactory:
    """An optimizer that makes k + 1 steps where another makes k: learning rate times c, decays to the power of c, with
    c = k / (k + 1) (Karras et al. 2020a, Appendix B)."""
    c = every / (every + 1) if every else 1.0

    def make(parameters: Iterable[nn.Parameter]) -> Optimizer:
        optimizer = factory(parameters)
        for group in cast(list[dict[str, Any]], optimizer.param_groups):
            group["lr"] = group["lr"] * c
            if "betas" in group:
                group["betas"] = tuple(beta**c for beta in group["betas"])
        return optimizer

    return make
