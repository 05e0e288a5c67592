"""The contracts. Batches are dicts; images are uint8 at every door; a capability is a base class, never a probe.

    ImageData           a data set: spec, fingerprint, loaders
    ImageModule         anything that trains on images: spec, images seen, schedule, which part is averaged
    GenerativeModule    sample
    LikelihoodModule    log_prob in nats of the DISCRETE image; bits/dim; training, written once
    GridLogger          takes sample grids beside metrics
    VariationalModule   log p(x|z) and KL, whose difference bounds log p(x)
    ReconstructionModule    reconstruct
    LatentModule        encode, decode
    StochasticLatentModule  codes and prior as distributions
    NoiseModule         paint, from a noise vector
    CompletionModule    complete
    SequentialModule    walk: every value of an image with its exact probabilities given those before
    TranslationModule   translate
    AdversarialModule   the only manual optimisation in the project, in one method

A batch is ``{"image": uint8 (B, C, H, W), "label": int64 (B,), "attributes": float (B, A), ...}``; a condition is the
same dict without ``image``.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, ClassVar, Literal, final

import torch
from jsonargparse.typing import register_type
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec
from lightning_gen.schedules import Constant, Ramp, Schedule

__all__ = [
    "AdversarialModule",
    "Batch",
    "BitsBackModule",
    "Bound",
    "CompletionModule",
    "GenerativeModule",
    "GridLogger",
    "ImageData",
    "ImageModule",
    "LatentModule",
    "LikelihoodModule",
    "NoiseModule",
    "OptimizerFactory",
    "Place",
    "ReconstructionModule",
    "SequentialModule",
    "Split",
    "StochasticLatentModule",
    "TranslationModule",
    "VariationalModule",
    "condition_of",
    "moved",
]

#: types of which no value is a parameter, buffer or module
_PLAIN = frozenset({str, int, float, bool, type(None)})
Batch = dict[str, Tensor]
# One value, not a group of arguments: the spec is linked from the data, and a checkpoint stores it as a plain dict.
register_type(ImageSpec, serializer=ImageSpec.as_dict, deserializer=lambda value: ImageSpec(**value))
Bound = Literal["exact", "dequantized", "elbo", "iwae-k"]
OptimizerFactory = Callable[[Iterable], Optimizer]
#: channel, row, column of a value in an image
Place = tuple[int, int, int]
Split = Literal["train", "val", "test"]


class ImageData(LightningDataModule, ABC):
    """A set of images in three fixed splits."""

    @property
    @abstractmethod
    def spec(self) -> ImageSpec:
        """Known as soon as the object exists, before any download or decoding of the whole set."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """16 hex digits over the pixels, labels and splits: two numbers are comparable only when these agree."""

    @property
    @abstractmethod
    def name(self) -> str:  # type: ignore[override]
        """Short name for tables, e.g. ``digits``."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """What each value of ``label`` means; empty for a set without labels."""
        return ()

    @property
    def attribute_names(self) -> tuple[str, ...]:
        """What each column of ``attributes`` means; empty for a set without attributes."""
        return ()

    @property
    def modes(self) -> tuple[Tensor, float] | None:
        """Where the set is a mixture known beforehand: signed centres, float (K, C, H, W), and the Euclidean distance
        from its centre within which an image belongs to a mode; None for any other set."""
        return None

    @property
    def probabilities(self) -> Tensor | None:
        """Where the probability of every image of two pixels is known: float64 (levels, levels), the first pixel down;
        None for any other set."""
        return None

    @abstractmethod
    def size(self, split: Split) -> int:
        """Number of images of `split`."""

    @abstractmethod
    def batches(self, split: Split, batch_size: int, start: int = 0, stop: int | None = None) -> Iterator[Batch]:
        """Images `start` to `stop` of `split`, in their fixed order, without augmentation, as CPU batches."""


class ImageModule(LightningModule, ABC):
    """Anything that trains on batches of images.

    Args:
        spec: of the training images; linked from the data by the command line.
        schedule: factor on every optimizer's learning rate, a function of images seen (None: constant).
    """

    #: Lightning passes over a hook of a batch that is not callable; one that does nothing costs it more than its call
    on_train_batch_start: Any = None
    on_before_backward: Any = None
    on_after_backward: Any = None
    on_train_batch_end: Any = None

    def __init__(self, spec: ImageSpec, schedule: Schedule | None = None) -> None:
        super().__init__()
        self.spec = spec
        self.schedule = schedule or Constant()
        #: training images seen by all processes together: the x axis of every chart and schedule
        self.images_seen = 0
        # The arguments as the config spelled them (plain values): a checkpoint rebuilds its model from itself.
        self.save_hyperparameters(logger=False)

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes the name of each hook it calls, some forty times in a batch: what is a plain attribute and
        # stays one needs no search among parameters, buffers and modules.
        if type(value) in _PLAIN and name in self.__dict__:
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    @property
    def condition_keys(self) -> tuple[str, ...]:
        """Keys of the batch that condition the model, such as ``label``; empty for an unconditional one."""
        return ()

    @property
    def averaged(self) -> nn.Module:
        """The part whose weights an exponential moving average follows; samples are drawn from it."""
        return self

    @property
    def accumulating(self) -> bool:
        """Between two batches: whether the gradients wait for more of them before an optimizer step; to be called in
        training only."""
        done, batches = self.trainer.fit_loop.batch_idx + 1, self.trainer.num_training_batches
        return done % self.trainer.accumulate_grad_batches != 0 and done < batches

    def count(self, batch: Batch) -> None:
        """Add this batch, on all processes, to `images_seen`; called at the end of every training step."""
        self.images_seen += len(batch["image"]) * self.trainer.world_size

    @property
    def losses(self) -> dict[str, Tensor]:
        """What the newest training batch cost, by name, scalars without a gradient; logged as ``train/NAME``."""
        return {}

    @property
    def steps(self) -> int:
        """Steps that training has made, of which every so many write a row; to be called in training only."""
        return self.trainer.global_step

    def apply_schedule(self) -> None:
        """Set every optimizer's learning rate to its initial value times the schedule's factor."""
        factor = self.schedule.factor(self.images_seen)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["images_seen"] = self.images_seen
        if "hyper_parameters" in checkpoint:
            checkpoint["hyper_parameters"] = {
                **checkpoint["hyper_parameters"],
                "spec": self.spec.as_dict(),
            }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.images_seen = checkpoint["images_seen"]

    def noise(self, *shape: int, generator: Generator | None = None) -> Tensor:
        """Standard normal float32 of `shape` on this module's device; drawn where `generator` lives, the CPU by
        default, so that one seed gives one set of samples on every device."""
        device = generator.device if generator is not None else self.device
        return torch.randn(*shape, generator=generator, device=device).to(self.device)

    def uniform(self, *shape: int, generator: Generator | None = None) -> Tensor:
        """The same, uniform in [0, 1)."""
        device = generator.device if generator is not None else self.device
        return torch.rand(*shape, generator=generator, device=device).to(self.device)


class GenerativeModule(ImageModule):
    """A model that makes images."""

    @abstractmethod
    def sample(
        self,
        n: int,
        condition: Batch | None = None,
        temperature: float = 1.0,
        generator: Generator | None = None,
    ) -> Tensor:
        """Draw `n` images.

        Args:
            n: number of images.
            condition: a batch of n rows without ``image``, for models with `condition_keys`; None: drawn from
                `generator`, labels with equal probability.
            temperature: scale of the noise, 1 for the model as trained; 0 < temperature.
            generator: source of all randomness; the same seed gives the same images bit for bit.

        Returns:
            uint8 (n, C, H, W), values 0..levels-1.
        """


class LikelihoodModule(GenerativeModule):
    """A model with a (bound on the) log-likelihood of the discrete image. Training is written once, here.

    Args:
        spec: see `ImageModule`.
        optimizer: called with the parameters, e.g. ``{class_path: torch.optim.Adam, init_args: {lr: 1e-3}}``.
        schedule: see `ImageModule`.
    """

    #: what `log_prob` is: "exact"; "dequantized" and "elbo" are stochastic lower bounds
    bound: ClassVar[Bound]
    #: what the newest training batch cost, bits/dim, a scalar
    newest: Tensor | None = None

    def __init__(self, spec: ImageSpec, optimizer: OptimizerFactory, schedule: Schedule | None = None) -> None:
        super().__init__(spec, schedule)
        self.optimizer_factory = optimizer

    @abstractmethod
    def log_prob(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        """uint8 (B, C, H, W) -> (B,) nats of the discrete image, or a lower bound as `bound` says."""

    def objective(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        """(B,) nats to minimise in training: the negative log-likelihood unless the paper trains on another."""
        return -self.log_prob(image, condition)

    @final
    def bits_per_dim(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        """(B,) bits per dimension, -log2 p(image) / (C*H*W)."""
        return self.to_bits(-self.log_prob(image, condition))

    @final
    def to_bits(self, nats: Tensor) -> Tensor:
        """Nats per image -> bits per dimension."""
        return nats / (self.spec.dims * math.log(2.0))

    @final
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.apply_schedule()
        # Descend in bits/dim: gradients, and so clipping thresholds, keep their size across resolutions.
        bits = self.to_bits(self.objective(batch["image"], condition_of(batch)).mean())
        self.newest = bits.detach()
        self.count(batch)
        return bits

    @property
    def losses(self) -> dict[str, Tensor]:
        return {} if self.newest is None else {"bits_per_dim": self.newest}

    @final
    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        bits = self.bits_per_dim(batch["image"], condition_of(batch))
        self.log("val/bits_per_dim", bits.mean(), batch_size=len(bits), sync_dist=True, on_epoch=True)

    @final
    def configure_optimizers(self) -> Optimizer:
        return self.optimizer_factory(self.parameters())


class VariationalModule(LikelihoodModule):
    """log p(x) >= E_q [log p(x|z) - (log q(z|x) - log p(z))] (Kingma and Welling 2014, Eq. 3), one draw of z."""

    bound = "elbo"

    @abstractmethod
    def terms(self, image: Tensor, condition: Batch | None = None) -> tuple[Tensor, Tensor]:
        """One draw of z for each image: log p(x|z), nats (B,), and log q(z|x) - log p(z), nats (B, G), a column for
        each group of latent variables, such as a layer. Their means are minus the distortion, and the rate."""

    @final
    def log_prob(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        log_likelihood, kl = self.terms(image, condition)
        return log_likelihood - kl.sum(1)


class GridLogger(ABC):
    """A logger that takes pictures beside numbers."""

    @abstractmethod
    def log_image(self, name: str, path: Path, images_seen: int) -> None:
        """Take over the picture at `path`, a PNG that stays there, as drawn after `images_seen` training images.

        Must not raise where the place it logs to fails.
        """


class ReconstructionModule(ABC):
    """A model that compresses an image and restores it."""

    @abstractmethod
    def reconstruct(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        """uint8 (B, C, H, W) -> the same, through the model's code; deterministic."""


class LatentModule(ReconstructionModule):
    """A model with a vector code per image."""

    @abstractmethod
    def encode(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        """uint8 (B, C, H, W) -> float (B, Z); deterministic (the mean of a stochastic code)."""

    @abstractmethod
    def decode(self, z: Tensor, condition: Batch | None = None) -> Tensor:
        """float (B, Z) -> uint8 (B, C, H, W); deterministic."""

    def reconstruct(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        return self.decode(self.encode(image, condition), condition)


class StochasticLatentModule(LatentModule):
    """A model with a distribution of codes per image, and one of all codes."""

    @abstractmethod
    def draw_code(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        """uint8 (B, C, H, W) -> z ~ q(z|x), float (B, Z)."""

    @abstractmethod
    def draw_prior(
        self,
        n: int,
        condition: Batch | None = None,
        temperature: float = 1.0,
        generator: Generator | None = None,
    ) -> Tensor:
        """z ~ p(z), float (n, Z); arguments as those of `GenerativeModule.sample`."""


class NoiseModule(ABC):
    """A model whose image is a function of a vector of standard normal noise."""

    #: Z
    latent_dim: int

    @abstractmethod
    def paint(self, z: Tensor, condition: Batch | None = None) -> Tensor:
        """float (B, Z), and B rows of the condition where the model has one -> uint8 (B, C, H, W); deterministic."""

    @abstractmethod
    def draw_condition(self, n: int, generator: Generator | None = None) -> Batch | None:
        """n rows of the condition as `GenerativeModule.sample` draws them; None for a model without."""


class CompletionModule(ABC):
    """A model that fills in the missing part of an image."""

    @abstractmethod
    def complete(
        self, image: Tensor, known: Tensor, condition: Batch | None = None, generator: Generator | None = None
    ) -> Tensor:
        """uint8 (B, C, H, W), bool (B, 1, H, W), True where the pixel is given -> uint8 (B, C, H, W) that agrees
        with `image` on the known pixels; `condition` and `generator` as in `GenerativeModule.sample`."""

    @abstractmethod
    def completes_exactly(self, known: Tensor) -> bool:
        """bool (B, 1, H, W) -> whether `complete` draws from the model's own p(missing | known)."""


class SequentialModule(ABC):
    """A model that knows the exact probability of each value of an image given those before, in an order of its own."""

    @abstractmethod
    def walk(self, n: int, choose: Callable[[Tensor, Place], Tensor], condition: Batch | None = None) -> Tensor:
        """Visit every value of `n` images.

        Args:
            n: number of images.
            choose: called with p, float64 (n, levels), and the place, channel by channel and in the model's order of
                pixels; its answer, levels (n,), is what the values become. The same answers give the same p, bit for
                bit, on the same device with the same number of threads and the same `n`.
            condition: a batch of n rows; must not be None for models with `condition_keys`.

        Returns:
            uint8 (n, C, H, W).
        """


class BitsBackModule(ABC):
    """A model whose code of an image is Gaussian, under a standard normal prior: it can code by bits back."""

    #: Z
    latent_dim: int

    @abstractmethod
    def gaussian_code(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (B, C, H, W) -> mean and log-scale of q(z|x), both (B, Z).

        Raises:
            UserError: this one's posterior, prior or condition is of another kind.
        """

    @abstractmethod
    def pixel_pmf(self, z: Tensor, image: Tensor, channel: int) -> Tensor:
        """float (B, Z), and uint8 (B, C, H, W) whose channels before `channel` are known -> p of each level of
        `channel`, float64 (B, levels, H, W); the pixels are independent of one another."""


class TranslationModule(ImageModule):
    """A model from a source image to a target image."""

    @abstractmethod
    def translate(self, source: Tensor) -> Tensor:
        """uint8 (B, C', h, w) -> uint8 (B, C, H, W)."""


class AdversarialModule(GenerativeModule):
    """Alternating optimisation of a generator against a discriminator: Goodfellow et al. 2014, Algorithm 1.

    A subclass sets `generator` and `discriminator` (or critic), says how fakes are made, and defines both losses.
    Everything that Lightning leaves to manual optimisation is owned here: the frozen opponent, critic steps, clipping,
    accumulation, the schedule, the reuse of fakes, and the average of gradients over processes.

    Args:
        spec: see `ImageModule`.
        generator_optimizer: called with the generator's parameters.
        discriminator_optimizer: called with the discriminator's parameters.
        schedule: see `ImageModule`; applies to both optimizers.
        critic_steps: discriminator steps, each on its own batch, per generator step (k in Algorithm 1), 1 or more.
        accumulate: batches whose gradients are averaged before each optimizer step, 1 or more.
        clip: largest gradient norm of each network (None: no clipping).
        reuse_fakes: make images once for both players where both learn on a batch: one pass of the generator less.
            Algorithm 1 draws fresh ones for each; the generator's gradient is of the same kind, with the noise that
            the discriminator has just seen.
        beta2: a ramp for the second beta of both Adams (R3GAN); None: as the optimizers say.
    """

    generator: nn.Module
    discriminator: nn.Module
    #: what the generator made of this batch for both players, under `reuse_fakes`
    _held: Any = None

    def __init__(
        self,
        spec: ImageSpec,
        generator_optimizer: OptimizerFactory,
        discriminator_optimizer: OptimizerFactory,
        schedule: Schedule | None = None,
        critic_steps: int = 1,
        accumulate: int = 1,
        clip: float | None = None,
        reuse_fakes: bool = False,
        beta2: Ramp | None = None,
    ) -> None:
        check_counts("model", critic_steps=critic_steps, accumulate=accumulate)
        if clip is not None and clip <= 0:
            raise UserError(f"model.clip is {clip}: want above 0, or nothing")
        super().__init__(spec, schedule)
        self.reuse_fakes, self.beta2 = reuse_fakes, beta2
        self.automatic_optimization = False
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer
        self.critic_steps, self.accumulate, self.clip = critic_steps, accumulate, clip
        self.batches_seen = 0  # not batch_idx: the count of critic steps must not start anew with each epoch
        #: what the newest batch showed, detached, for those who watch: scalars ``loss_d`` and ``loss_g``; logits
        #: ``real`` and ``fake``, higher for images that look real, where the subclass puts them there
        self.vitals: dict[str, Tensor] = {}

    @abstractmethod
    def generate(self, batch: Batch) -> Any:
        """What the generator makes for a batch, with its graph."""

    @final
    def fakes(self, batch: Batch) -> Any:
        """The fakes that a loss looks at: those held for both players, else fresh ones."""
        return self.generate(batch) if self._held is None else self._held

    @abstractmethod
    def discriminator_loss(self, batch: Batch) -> Tensor:
        """Scalar that the discriminator minimises; the generator is frozen while it is computed, and fakes that are
        held must be detached."""

    @abstractmethod
    def generator_loss(self, batch: Batch) -> Tensor:
        """Scalar that the generator minimises; the discriminator is frozen while it is computed."""

    def constrain(self) -> None:
        """Called after each step of the discriminator: the place of weight clipping."""

    @property
    def accumulating(self) -> bool:
        return self.batches_seen % self.accumulate != 0

    @property
    def discriminator_steps(self) -> int:
        """Steps that the discriminator has made before this batch."""
        return max(0, self.batches_seen - 1) // self.accumulate

    @property
    def averaged(self) -> nn.Module:
        return self.generator

    @final
    def training_step(self, batch: Batch, batch_idx: int) -> None:
        self.apply_schedule()
        generator_optimizer, discriminator_optimizer = self.optimizers()  # type: ignore[attr-defined]
        self._apply_beta2()
        self.batches_seen += 1
        # The generator learns on the last `accumulate` batches of every `critic_steps` discriminator steps.
        turn = self.discriminator_steps % self.critic_steps == self.critic_steps - 1
        self._held = self.generate(batch) if turn and self.reuse_fakes else None

        with _frozen(generator_optimizer):
            loss = self.discriminator_loss(batch)
            if self._descend(loss, self.discriminator, discriminator_optimizer):
                self.constrain()
        self.vitals["loss_d"] = loss.detach()

        if turn:
            with _frozen(discriminator_optimizer):
                loss = self.generator_loss(batch)
                self._descend(loss, self.generator, generator_optimizer)
            self.vitals["loss_g"] = loss.detach()
        self._held = None
        self._average_buffers()
        self.count(batch)

    @property
    def steps(self) -> int:
        """Batches: Lightning counts an optimizer step of each player, of which there may be none, one or two in one."""
        return self.batches_seen

    @property
    def losses(self) -> dict[str, Tensor]:
        """The newest loss of each player; none of the generator's before its first turn."""
        return {name: self.vitals[name] for name in ("loss_d", "loss_g") if name in self.vitals}

    def _apply_beta2(self) -> None:
        if self.beta2 is None:
            return
        value = self.beta2.value(self.images_seen)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                if "betas" not in group:
                    raise UserError(f"model.beta2 is a ramp, {type(optimizer).__name__} has no beta2: want Adam")
                group["betas"] = (group["betas"][0], value)

    def _descend(self, loss: Tensor, network: nn.Module, optimizer: Any) -> bool:
        """One backward pass; where the accumulation is full, one optimizer step of `network`. Whether it was."""
        with self._unsynchronised():
            self.manual_backward(loss if self.accumulate == 1 else loss / self.accumulate)
        if self.accumulating:
            return False
        self._average_gradients(network)
        optimizer.step()
        for group in optimizer.param_groups:  # what `zero_grad` does, without an entry in the trace of a profiler
            for p in group["params"]:
                p.grad = None
        return True

    def _unsynchronised(self) -> AbstractContextManager[None]:
        # DDP's reducer waits for a gradient of every parameter of the module, but each of our two backward passes
        # reaches one network only, so under plain `ddp` it would stop. We average the gradients ourselves.
        model = self.trainer.model
        return model.no_sync() if isinstance(model, nn.parallel.DistributedDataParallel) else nullcontext()

    def _average_gradients(self, network: nn.Module) -> None:
        if self.trainer.world_size == 1:
            return
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        torch.distributed.all_reduce(flat)
        flat /= self.trainer.world_size
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def _average_buffers(self) -> None:
        # Under manual optimisation DDP leaves buffers alone: statistics of batch norm would drift apart.
        if self.trainer.world_size > 1:
            for buffer in (b for b in self.buffers() if b.is_floating_point() and b.numel()):
                torch.distributed.all_reduce(buffer)
                buffer /= self.trainer.world_size

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        # After the precision plugin has unscaled the gradients, so the threshold means the same at every precision.
        if self.clip is not None:
            nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], self.clip)

    @final
    def configure_optimizers(self) -> list[Optimizer]:
        return [
            self.generator_optimizer(self.generator.parameters()),
            self.discriminator_optimizer(self.discriminator.parameters()),
        ]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["batches_seen"] = self.batches_seen
        checkpoint["losses"] = self.losses

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.batches_seen = checkpoint["batches_seen"]
        self.vitals |= checkpoint.get("losses", {})


@contextmanager
def _frozen(optimizer: Any) -> Iterator[None]:
    """The opponent, by its optimizer: gradients flow through it to its input, but not into its weights."""
    learning = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
    for p in learning:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in learning:
            p.requires_grad_(True)


def moved(batch: Batch, device: torch.device) -> Batch:
    """`batch` with its tensors on `device`; what is no tensor, such as captions, stays."""
    return {key: value.to(device) if isinstance(value, Tensor) else value for key, value in batch.items()}


def condition_of(batch: Batch) -> Batch:
    return {key: value for key, value in batch.items() if key != "image"}
