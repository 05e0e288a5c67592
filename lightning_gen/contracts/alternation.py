"""How two players alternate: their optimizers, the phases of training, the sum of named losses."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_gen.contracts.module import OptimizerFactory
from lightning_gen.errors import UserError, check_counts
from lightning_gen.schedules import Ramp, Schedule

__all__ = [
    "AdversarialTraining",
    "Losses",
    "Moves",
    "Phase",
    "PlayerName",
    "frozen",
    "player_optimizers",
    "weighted_sum",
]

PlayerName = Literal["generator", "discriminator"]
#: steps of each player in a batch
Moves = dict[PlayerName, int]
#: scalars to minimise by name; one that is costly where its weight is 0 is given as a function of nothing
Losses = Mapping[str, Tensor | Callable[[], Tensor]]


@dataclass
class Phase:
    """A stretch of the training.

    Args:
        images: training images in it, 1 or more; 0: all that are left.
        discriminator_steps: discriminator steps, each on its own batch, per turn of the generator (k in Goodfellow et
            al. 2014, Algorithm 1). 0: the discriminator does not learn.
        generator_steps: generator steps per turn, all on the same batch, 1 or more.
        weights: factors of the generator's losses by name; those not named keep the algorithm's own. 0: not computed.
    """

    images: int = 0
    discriminator_steps: int = 1
    generator_steps: int = 1
    weights: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_counts("phase", generator_steps=self.generator_steps)
        for name in ("images", "discriminator_steps"):
            if getattr(self, name) < 0:
                raise UserError(f"phase.{name} is {getattr(self, name)}: want 0 or more")


@dataclass
class AdversarialTraining:
    """How the two players learn.

    Args:
        generator_optimizer: called with the generator's parameters.
        discriminator_optimizer: the same for the discriminator.
        schedule: factor on every learning rate (None: constant).
        discriminator_steps: see `Phase`; of the whole training where there are no phases.
        generator_steps: see `Phase`.
        weights: see `Phase`; of the whole training where there are no phases.
        phases: one after the other over images seen; the last one may be open-ended. Empty: one phase.
        accumulate: batches whose gradients are averaged before each optimizer step, 1 or more.
        clip: largest gradient norm of each network (None: no clipping).
        share_fakes: make fakes once per batch for both players, one pass of the generator less. Algorithm 1 draws fresh
            ones for each; the generator's gradient is of the same kind, with the noise that the discriminator has seen.
        beta2: a ramp for the second beta of all Adams (R3GAN); None: as the optimizers say.
        networks: optimizers of single networks of a player that has several, by their names, such as
            ``{discriminator.back: {class_path: torch.optim.SGD, init_args: {lr: 0.1}}}``; the others keep the player's.
    """

    generator_optimizer: OptimizerFactory
    discriminator_optimizer: OptimizerFactory
    schedule: Schedule | None = None
    discriminator_steps: int = 1
    generator_steps: int = 1
    weights: dict[str, float] = field(default_factory=dict)
    phases: list[Phase] = field(default_factory=list)
    accumulate: int = 1
    clip: float | None = None
    share_fakes: bool = False
    beta2: Ramp | None = None
    networks: dict[str, OptimizerFactory] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_counts(
            "model.training",
            accumulate=self.accumulate,
            discriminator_steps=self.discriminator_steps,
            generator_steps=self.generator_steps,
        )
        if self.clip is not None and not self.clip > 0:
            raise UserError(f"model.training.clip is {self.clip}: want above 0, or nothing")
        if self.phases and (self.discriminator_steps, self.generator_steps, self.weights) != (1, 1, {}):
            raise UserError("model.training has phases and steps or weights of its own: want them in each phase")
        if self.accumulate > 1 and max(self.generator_steps, *(p.generator_steps for p in self.phases), 1) > 1:
            raise UserError(f"model.training.accumulate is {self.accumulate} beside several generator_steps: want one")
        if any(phase.images == 0 for phase in self.phases[:-1]):
            raise UserError(
                "model.training.phases has one of 0 images before the last: want images in each but the last"
            )

    def networks_of(self, player: PlayerName) -> dict[str, OptimizerFactory]:
        """Return the optimizers of single networks of a player, by the names that its networks have there."""
        return {
            name.partition(".")[2]: make for name, make in self.networks.items() if name.partition(".")[0] == player
        }

    def check_networks(self, players: Mapping[PlayerName, nn.Module]) -> None:
        """Raise where an optimizer is given for a network that there is not."""
        have = [f"{player}.{name}" for player, network in players.items() for name in networks_by_name(network)]
        for name in self.networks:
            if name not in have:
                wanted = f"one of {', '.join(have)}" if have else "none, for each player has one network"
                raise UserError(f"model.training.networks has {name}: want {wanted}")

    def phase(self, images_seen: int) -> Phase:
        """Return the phase of the batch that begins after `images_seen` training images."""
        if not self.phases:
            return Phase(0, self.discriminator_steps, self.generator_steps, self.weights)
        end = 0
        for phase in self.phases[:-1]:
            end += phase.images
            if images_seen < end:
                return phase
        return self.phases[-1]

    def check_weights(self, names: Sequence[str]) -> None:
        """Raise where a loss is weighted that the algorithm does not have."""
        for where, weights in (("weights", self.weights), *(("phase.weights", phase.weights) for phase in self.phases)):
            for name in weights:
                if name not in names:
                    raise UserError(f"model.training.{where} has {name}: want one of {', '.join(names)}")


def weighted_sum(losses: Losses, weights: Mapping[str, float]) -> tuple[Tensor, dict[str, Tensor]]:
    """Add up named losses, a weight that is not given being 1; those of weight 0 are left out and not computed.

    Returns:
        the sum, and each loss before its weight, detached.

    Raises:
        ValueError: no loss has a weight.
    """
    total: Tensor | None = None
    values: dict[str, Tensor] = {}
    for name, loss in losses.items():
        weight = weights.get(name, 1.0)
        if weight == 0:
            continue
        value = loss if isinstance(loss, Tensor) else loss()
        values[name] = value.detach()
        term = value if weight == 1 else weight * value
        total = term if total is None else total + term
    if total is None:
        raise ValueError(f"all of {', '.join(losses)} have weight 0")
    return total, values


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Inside, let gradients flow through `network` to its input, but not into its weights."""
    learning = [p for p in network.parameters() if p.requires_grad]
    for p in learning:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in learning:
            p.requires_grad_(True)


def networks_by_name(network: nn.Module) -> dict[str, nn.Module]:
    """Return the networks of a player that has several; else nothing."""
    return dict(network.named_children()) if isinstance(network, nn.ModuleDict) else {}


def player_optimizers(network: nn.Module, player: PlayerName, training: AdversarialTraining) -> list[Optimizer]:
    """Make the optimizers of a player: one, or one for each of its networks where some have their own."""
    factory: OptimizerFactory = getattr(training, f"{player}_optimizer")
    own = training.networks_of(player)
    if not own:
        return [factory(network.parameters())]
    return [own.get(name, factory)(part.parameters()) for name, part in networks_by_name(network).items()]
