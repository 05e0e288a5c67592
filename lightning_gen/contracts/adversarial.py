"""Alternating optimisation of two players: the only manual optimisation in the project."""

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_gen.batches import Batch
from lightning_gen.contracts.alternation import (
    AdversarialTraining,
    Losses,
    Moves,
    Phase,
    PlayerName,
    frozen,
    networks_by_name,
    player_optimizers,
    weighted_sum,
)
from lightning_gen.contracts.module import ImageModule
from lightning_gen.contracts.ramped_adam import RampedAdam
from lightning_gen.distributed import average_gradients, average_tensors
from lightning_gen.images import ImageSpec
from lightning_gen.precision import full_precision

__all__ = ["AdversarialModule"]


class AdversarialModule(ImageModule):
    """Train two players against each other (Goodfellow et al. 2014, Algorithm 1). What a model can do comes from a
    second base class: `GenerativeModule`, `TranslationModule` or another capability.

    A subclass sets `generator` and `discriminator`, each one network or a `torch.nn.ModuleDict` of several. It says how
    fakes are made, and names the losses of both players. Everything that Lightning leaves to manual optimisation is
    done here: the order of the players, the frozen opponent, phases, clipping, accumulation, the schedule, shared
    fakes, and the average of gradients over processes.

    State that must survive a resume belongs into the module's own state (`torch.nn.Module.get_extra_state` or buffers),
    or into `process_state` where every process has its own, such as a pool of images.

    Args:
        spec: see `ImageModule`.
        training: how the players learn.
    """

    generator: nn.Module
    discriminator: nn.Module
    #: which player learns first in a batch
    order: ClassVar[tuple[PlayerName, PlayerName]] = ("discriminator", "generator")
    #: every loss that the generator may have, with the algorithm's own weight
    generator_weights: ClassVar[Mapping[str, float]] = {"adversarial": 1.0}
    #: the same for the discriminator; a loss that is not named here has weight 1
    discriminator_weights: ClassVar[Mapping[str, float]] = {}

    def __init__(self, spec: ImageSpec, training: AdversarialTraining) -> None:
        super().__init__(spec, training.schedule)
        training.check_weights(list(self.generator_weights))
        self.automatic_optimization = False
        self.training_plan = training
        #: main optimizer steps of each player since the beginning of the run
        self.steps_made: dict[PlayerName, int] = {"generator": 0, "discriminator": 0}
        #: each loss of the latest batch, scalars without a gradient: ``loss_d``, ``loss_g``, and their named parts
        self.latest_losses: dict[str, Tensor] = {}
        self._made: dict[str, Tensor] = {}
        #: logits of the latest batch by name, of any shape: ``real``, ``fake``; higher for real images
        self.latest_logits: dict[str, Tensor] = {}
        self._shared_fakes: Any = None

    @abstractmethod
    def make_fakes(self, batch: Batch) -> Any:
        """Return what the generator makes for a batch, with its autograd graph."""

    @abstractmethod
    def discriminator_losses(self, batch: Batch) -> Losses:
        """Return the scalars that the discriminator minimises, by name; the generator is frozen while they are
        computed. Fakes are
        from `fakes`, and must be detached."""

    @abstractmethod
    def generator_losses(self, batch: Batch) -> Losses:
        """Return the scalars that the generator minimises, by name, all named in `generator_weights`; the discriminator
        is frozen
        while they are computed."""

    def regularization(self, player: PlayerName, batch: Batch) -> Losses:
        """Return the scalars that `player` minimises in an optimizer step of their own after its main one (Karras et
        al. 2020,
        Appendix B); empty where none is due. `steps_made` already counts the main step."""
        return {}

    def augmented(self, x: Tensor) -> Tensor:
        """Signed images (B, C, H, W) as the discriminator sees them at this point of the training."""
        return x

    def after_batch(self, batch: Batch) -> None:
        """React to a batch, once after all its steps, also where they were replayed: for what counts or decides in
        Python, such as adaptive augmentation."""

    def after_step(self, player: PlayerName) -> None:
        """React to each optimizer step of `player`, such as by weight clipping."""

    @final
    def fakes(self, batch: Batch) -> Any:
        """Return the fakes that both players share in this batch, else fresh ones."""
        return self.make_fakes(batch) if self._shared_fakes is None else self._shared_fakes

    def step_outputs(self) -> Any:
        return dict(self._made), dict(self.latest_logits)

    def take_outputs(self, outputs: Any) -> None:
        losses, logits = outputs
        # Copies: a loss that few steps have, such as a lazy penalty, is shown until the next one, and by then steps of
        # another kind have used its memory.
        self.latest_losses |= {name: value.clone() for name, value in losses.items()}
        self.latest_logits = dict(logits)

    @property
    def phase(self) -> Phase:
        """Return the phase of the present batch."""
        return self.training_plan.phase(self.images_seen)

    @property
    def players(self) -> dict[PlayerName, nn.Module]:
        """Both players by name."""
        return {"generator": self.generator, "discriminator": self.discriminator}

    @property
    def accumulating(self) -> bool:
        return self.batches_seen % self.training_plan.accumulate != 0

    @property
    def ema_network(self) -> nn.Module:
        return self.generator

    @property
    def steps(self) -> int:
        """Return the number of batches: Lightning counts an optimizer step of each player, of which a batch may have
        none or several."""
        return self.batches_seen

    @property
    def losses(self) -> dict[str, Tensor]:
        return dict(self.latest_losses)

    @final
    def training_step(self, batch: Batch, batch_idx: int) -> None:
        batch = self.prepare(batch)
        self.apply_schedule()
        self._apply_beta2()
        self.batches_seen += 1
        self.settle()
        phase = self.phase
        moves: Moves = {"discriminator": min(1, phase.discriminator_steps), "generator": self._generator_moves(phase)}
        outcome = "eager"
        if self.step_runner:
            key = (*moves.values(), *phase.weights.items(), self.accumulating, self.step_constants())
            waiting = (self.batches_seen - 1) % self.training_plan.accumulate != 0
            outcome = self.step_runner(key, batch, lambda rows: self._play(rows, moves, phase), waiting)
        if outcome == "eager":
            self._play(batch, moves, phase)
        elif outcome == "replayed":
            self._note_replay(moves)
        self._average_buffers()
        self.after_batch(batch)
        self.count(batch)

    def _play(self, batch: Batch, moves: Moves, phase: Phase) -> None:
        """Run all steps of a batch: the part of a training step that runs on the device."""
        before, self.latest_losses = self.latest_losses, {}
        self._shared_fakes = self.make_fakes(batch) if moves["generator"] and self.training_plan.share_fakes else None
        for player in self.order:
            for step in range(moves[player]):
                if step:  # the generator has changed: its earlier fakes are stale
                    self._shared_fakes = None
                self._learn(player, batch, phase)
        self._shared_fakes = None
        self._made = self.latest_losses
        self.latest_losses = before | self._made

    def _note_replay(self, moves: Moves) -> None:
        """Count the steps of a replayed graph, which knows nothing of Python."""
        if self.accumulating:
            return
        for player, steps in moves.items():
            self.steps_made[player] += steps
            for optimizer in self.optimizers_of(player):
                for _ in range(steps):  # without gradients it changes no weight, but Lightning counts it
                    optimizer.step()

    def _generator_moves(self, phase: Phase) -> int:
        """Count the generator's steps in this batch: it learns on the last of every `discriminator_steps` steps of its
        opponent, on all batches of an accumulation."""
        every = max(1, phase.discriminator_steps)
        return phase.generator_steps if self.steps_made["discriminator"] % every == every - 1 else 0

    def _learn(self, player: PlayerName, batch: Batch, phase: Phase) -> None:
        """Make one main step of `player`, and one for its regularization where that is due."""
        opponent = self.generator if player == "discriminator" else self.discriminator
        weights: Mapping[str, float] = self.discriminator_weights
        if player == "generator":
            weights = {**self.generator_weights, **phase.weights}
        with frozen(opponent):
            losses = self.discriminator_losses(batch) if player == "discriminator" else self.generator_losses(batch)
            loss, parts = weighted_sum(losses, weights)
            self._note(player, loss, parts)
            accumulate = self.training_plan.accumulate
            self._backward(loss if accumulate == 1 else loss / accumulate)
            if self.accumulating:
                return
            self._step(player)
            self.steps_made[player] += 1
            terms = self.regularization(player, batch)
            if terms:
                loss, parts = weighted_sum(terms, {})
                self.latest_losses |= {f"{player[0]}/{name}": value for name, value in parts.items()}
                self._backward(loss)
                self._step(player)
        self.after_step(player)

    def _note(self, player: PlayerName, loss: Tensor, parts: dict[str, Tensor]) -> None:
        self.latest_losses[f"loss_{player[0]}"] = loss.detach()
        if len(parts) > 1:  # a single part is the loss itself
            self.latest_losses |= {f"{player[0]}/{name}": value for name, value in parts.items()}

    def _backward(self, loss: Tensor) -> None:
        # A backward pass follows the types of its forward pass; second derivatives would be cast to 16 bits once more.
        with self._unsynchronised(), full_precision(loss):
            self.manual_backward(loss)

    def _step(self, player: PlayerName) -> None:
        average_gradients(self.players[player])
        for optimizer in self.optimizers_of(player):
            optimizer.step()
            optimizer.zero_grad()
        torch.clear_autocast_cache()  # it may hold 16-bit copies of the weights before the step

    def optimizers_of(self, player: PlayerName) -> list[Any]:
        """Return the optimizers of `player`, in the order of its networks."""
        split = self._optimizer_count("generator")
        found: list[Any] = self.optimizers()  # type: ignore[attr-defined,assignment]
        return found[:split] if player == "generator" else found[split:]

    def player_of(self, optimizer: Optimizer) -> PlayerName:
        """Return the player whose optimizer this is, as Lightning's hooks give it."""
        index = next(i for i, own in enumerate(self.trainer.optimizers) if own is optimizer)
        return "generator" if index < self._optimizer_count("generator") else "discriminator"

    def _optimizer_count(self, player: PlayerName) -> int:
        return len(networks_by_name(self.players[player])) if self.training_plan.networks_of(player) else 1

    @final
    def configure_optimizers(self) -> list[Optimizer]:
        plan = self.training_plan
        plan.check_networks(self.players)
        optimizers = [made for name, network in self.players.items() for made in player_optimizers(network, name, plan)]
        return optimizers if plan.beta2 is None else [RampedAdam.like(optimizer) for optimizer in optimizers]

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        # After the precision plugin has unscaled the gradients, so the threshold means the same at every precision.
        if self.training_plan.clip is not None:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(parameters, self.training_plan.clip)

    def _apply_beta2(self) -> None:
        if self.training_plan.beta2 is not None:
            for optimizer in self.trainer.optimizers:
                assert isinstance(optimizer, RampedAdam)
                optimizer.set_beta2(self.training_plan.beta2.value(self.images_seen))

    def _unsynchronised(self) -> AbstractContextManager[None]:
        # DDP's reducer waits for a gradient of every parameter of the module, but each of our backward passes
        # reaches one player only, so under plain `ddp` it would stop. We average the gradients ourselves.
        model = self.trainer.model
        return model.no_sync() if isinstance(model, nn.parallel.DistributedDataParallel) else nullcontext()

    def _average_buffers(self) -> None:
        # Under manual optimisation DDP leaves buffers alone: statistics of batch norm would drift apart.
        average_tensors([b for b in self.buffers() if b.is_floating_point() and b.numel()])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["adversarial"] = {
            "steps_made": dict(self.steps_made),
            "losses": self.losses,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        state = checkpoint["adversarial"]
        self.steps_made = dict(state["steps_made"])
        self.latest_losses |= state["losses"]
