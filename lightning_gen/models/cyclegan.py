"""CycleGAN: translation between two domains without pairs, there and back (Zhu et al. 2017)."""

from collections.abc import Callable
from typing import Any, final

from torch import Generator, Tensor, nn
from torch.nn.functional import l1_loss

from lightning_gen.batches import Batch
from lightning_gen.contracts import (
    AdversarialModule,
    AdversarialTraining,
    BackTranslationModule,
    Losses,
    TranslationModule,
)
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec, from_signed, to_signed
from lightning_gen.losses.adversarial import AdversarialLoss
from lightning_gen.nets.gan.discriminator import Discriminator
from lightning_gen.nets.gan.pool import PicturePool

__all__ = ["CycleGAN"]


@final
class CycleGAN(AdversarialModule, TranslationModule, BackTranslationModule):
    """min_{G, F} max_{D_there, D_back} L(G, D_there) + L(F, D_back) + 10 L_cyc(G, F) + 5 L_identity(G, F) (Zhu et al.
    2017, Eq. 3 and Section 5.2), with G from sources to images and F back:

        L_cyc      = E |F(G(a)) - a| + E |G(F(b)) - b|          (Eq. 2)
        L_identity = E |G(b) - b| + E |F(a) - a|

    The generators move first, and the discriminators judge the fakes of before that step, exchanged through a pool of
    past ones. `training.share_fakes` makes them once. The game is weighted by 2, because `LeastSquares` halves the
    squares of the paper's generators. `training.weights` weighs the identity by 0 where the domains differ in channels.

    Args:
        spec: of the images; with a source.
        generator: called with a spec, gives a net from its sources to its images, both signed.
        discriminator: called with the spec of one domain.
        loss: the game; `LeastSquares` in the paper.
        training: how the players learn.
        pool: past fakes of each direction that are kept, in every process, 1 or more.

    Raises:
        UserError: both domains have other channels, and the identity has a weight.
    """

    generator: nn.ModuleDict
    discriminator: nn.ModuleDict
    order = ("generator", "discriminator")
    generator_weights = {"adversarial": 2.0, "cycle": 10.0, "identity": 5.0}  # noqa: RUF012

    def __init__(
        self,
        spec: ImageSpec,
        generator: Callable[[ImageSpec], nn.Module],
        discriminator: Callable[[ImageSpec], Discriminator],
        loss: AdversarialLoss,
        training: AdversarialTraining,
        pool: int = 50,
    ) -> None:
        super().__init__(spec, training)
        back, self.loss = spec.reversed(), loss
        _check_identity(spec.channels, back.channels, training)
        self.generator = nn.ModuleDict({"there": generator(spec), "back": generator(back)})
        self.discriminator = nn.ModuleDict({"there": discriminator(spec.alone()), "back": discriminator(back.alone())})
        self.pools = nn.ModuleDict({"there": PicturePool(spec.shape, pool), "back": PicturePool(back.shape, pool)})
        self._back_levels = back.levels

    def _domains(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return to_signed(batch["source"], self._back_levels), to_signed(batch["image"], self.spec.levels)

    def make_fakes(self, batch: Batch) -> dict[str, Tensor]:
        a, b = self._domains(batch)
        return {"there": self.generator["there"](a), "back": self.generator["back"](b)}

    def generator_losses(self, batch: Batch) -> Losses:
        (a, b), fakes = self._domains(batch), self.fakes(batch)
        there, back = self.generator["there"], self.generator["back"]
        game = self._game("there", fakes["there"], b) + self._game("back", fakes["back"], a)
        return {
            "adversarial": game,
            "cycle": lambda: l1_loss(back(fakes["there"]), a) + l1_loss(there(fakes["back"]), b),
            "identity": lambda: l1_loss(there(b), b) + l1_loss(back(a), a),
        }

    def _game(self, side: str, fake: Tensor, real: Tensor) -> Tensor:
        judge = self.discriminator[side]
        return self.loss.generator(judge(fake).logits, lambda: judge(real).logits)

    def discriminator_losses(self, batch: Batch) -> Losses:
        a, b = self._domains(batch)
        fakes, losses = self.fakes(batch), {}
        for side, real in (("there", b), ("back", a)):
            of_real = self.discriminator[side](real).logits
            of_fake = self.discriminator[side](self.pools[side](fakes[side])).logits
            self.latest_logits |= {f"real_{side}": of_real.detach(), f"fake_{side}": of_fake.detach()}
            losses[side] = self.loss.discriminator(of_real, of_fake)
        return losses

    def process_state(self) -> dict[str, Any]:
        return {side: pool.state() for side, pool in self._pools()}

    def load_process_state(self, state: dict[str, Any]) -> None:
        for side, pool in self._pools():
            pool.load(state[side])

    def _pools(self) -> list[tuple[str, PicturePool]]:
        return [(side, pool) for side, pool in self.pools.items() if isinstance(pool, PicturePool)]

    @property
    def network(self) -> nn.Module:
        return self.generator["there"]

    def translate(self, batch: Batch, generator: Generator | None = None) -> Tensor:
        return from_signed(self.generator["there"](to_signed(batch["source"], self._back_levels)), self.spec.levels)

    def translate_back(self, batch: Batch, generator: Generator | None = None) -> Tensor:
        return from_signed(self.generator["back"](to_signed(batch["image"], self.spec.levels)), self._back_levels)


def _check_identity(channels: int, others: int, training: AdversarialTraining) -> None:
    weights = [training.weights, *(phase.weights for phase in training.phases)][bool(training.phases) :]
    if channels != others and any(own.get("identity", 1.0) for own in weights):
        got = f"data has sources of {others} channels and images of {channels}"
        raise UserError(f"{got}: CycleGAN wants training.weights.identity 0")
