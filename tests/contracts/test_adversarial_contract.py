"""The adversarial contract holds systems of every kind: who moves, what is frozen, which losses, and the resume."""

import math

import pytest
import torch
from lightning.pytorch import Trainer

from lightning_gen.contracts import AdversarialTraining, Phase
from lightning_gen.contracts.alternation import weighted_sum
from lightning_gen.errors import UserError
from lightning_gen.evaluation.protocol import Evaluation
from lightning_gen.metrics.frechet import FrechetDistance
from lightning_gen.training.callbacks.record import ImageBudget
from lightning_gen.training.checkpoint_io import AtomicCheckpointIO
from lightning_gen.training.checkpoints import RunCheckpoint
from tests.contracts.throwaway import Cyclic, Paired, Pairs, Phased

PHASES = [Phase(32, discriminator_steps=0, weights={"adversarial": 0.0}), Phase(0, generator_steps=2)]


def _adam(parameters):
    return torch.optim.Adam(parameters, 1e-3)


def _training(**more):
    return AdversarialTraining(_adam, _adam, **more)


def _model(kind, **more):
    torch.manual_seed(0)
    make = {"paired": Paired, "cyclic": Cyclic, "phased": Phased}[kind]
    plan = {"phased": {"phases": PHASES}, "cyclic": {"share_fakes": True}, "paired": {"share_fakes": True}}[kind]
    return make(Pairs(kind == "phased").spec, _training(**(plan | more)))


def _fit(module, images, folder, checkpoint=None):
    callbacks = [ImageBudget(images), RunCheckpoint(folder / "checkpoints")]
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        max_epochs=-1,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
    )
    data = Pairs(module.spec.source.height == 4)
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    return module


def _state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


@pytest.mark.parametrize("kind", ["paired", "cyclic", "phased"])
def test_each_system_trains_and_resumes_bit_for_bit(kind, tmp_path):
    before = _state(_model(kind))
    whole = _fit(_model(kind), 96, tmp_path / "whole")
    assert all(not torch.equal(before[k], v) for k, v in whole.named_parameters())
    _fit(_model(kind), 44, tmp_path / "parts")
    torch.manual_seed(99)
    rest = _fit(_model(kind), 96, tmp_path / "parts", tmp_path / "parts" / "checkpoints" / "last.ckpt")
    assert all(torch.equal(v, _state(rest)[k]) for k, v in _state(whole).items())
    assert str(whole.process_state()) == str(rest.process_state())
    assert whole.steps_made == rest.steps_made


@pytest.mark.parametrize("kind", ["paired", "cyclic", "phased"])
def test_each_system_translates_and_shows_itself(kind):
    module = _model(kind)
    batch = next(Pairs(kind == "phased").batches("val", 4))
    with torch.no_grad():
        out, picture = module.translate(batch), module.preview(batch)
    module.spec.check(out)
    assert picture.dtype == torch.uint8
    assert picture.shape[2] == 3
    if kind == "cyclic":
        assert module.translate_back(batch).shape == batch["source"].shape


def test_every_loss_has_a_curve_of_its_own(tmp_path):
    losses = _fit(_model("cyclic"), 8, tmp_path).losses
    assert losses.keys() == {"loss_g", "g/there", "g/back", "g/cycle", "loss_d", "d/there", "d/back"}
    total = losses["g/there"] + losses["g/back"] + 10 * losses["g/cycle"]
    assert torch.allclose(losses["loss_g"], total)
    assert torch.allclose(losses["loss_d"], losses["d/there"] + losses["d/back"])


def test_a_phase_without_a_discriminator_leaves_it_alone_and_computes_nothing_of_it(tmp_path):
    before = _state(_model("phased"))
    module = _fit(_model("phased"), 32, tmp_path / "first")
    parts = dict(module.named_parameters())
    assert all(torch.equal(before[k], v) for k, v in parts.items() if k.startswith("discriminator"))
    assert all(not torch.equal(before[k], v) for k, v in parts.items() if k.startswith("generator"))
    assert module.steps_made == {"generator": 8, "discriminator": 0}
    assert "g/adversarial" not in module.losses
    module = _fit(_model("phased"), 64, tmp_path / "second")
    assert module.steps_made == {"generator": 8 + 2 * 8, "discriminator": 8}
    assert {"g/adversarial", "g/pixel", "g/size"} <= module.losses.keys()
    assert module.mean_output != 0


def test_players_move_in_the_order_of_the_algorithm(tmp_path, monkeypatch):
    for kind, first in (("paired", "discriminator"), ("cyclic", "generator")):
        moves = []
        monkeypatch.setattr(type(_model(kind)), "after_step", lambda self, player, moves=moves: moves.append(player))
        _fit(_model(kind), 8, tmp_path / kind)
        assert moves[0] == first
        assert moves == [moves[0], moves[1]] * 2


def test_the_opponent_is_frozen_and_its_gradient_untouched(tmp_path):
    module = _model("paired")
    learns = []
    original = module.generator_losses

    def seen(batch):
        learns.append([p.requires_grad for p in module.discriminator.parameters()])
        return original(batch)

    module.generator_losses = seen
    _fit(module, 4, tmp_path)
    assert not any(learns[0])
    assert all(p.requires_grad for p in module.discriminator.parameters())


def test_networks_of_one_player_may_learn_differently(tmp_path):
    slow = {"generator.back": lambda parameters: torch.optim.SGD(parameters, 0.0)}
    before = _state(_model("cyclic"))
    torch.manual_seed(0)
    module = _fit(Cyclic(Pairs().spec, AdversarialTraining(_adam, _adam, networks=slow)), 16, tmp_path)
    after = _state(module)
    changed = {name.rsplit(".", 2)[0] for name in before if not torch.equal(before[name], after[name])}
    assert {name.split(".")[1] for name in changed if name.startswith("generator")} == {"there"}
    assert [module.player_of(o) for o in module.trainer.optimizers] == ["generator", "generator", "discriminator"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: _training(clip=0.0), r"model\.training\.clip is 0\.0: want above 0"),
        (lambda: _training(accumulate=0), r"model\.training\.accumulate is 0: want 1 or more"),
        (lambda: _training(accumulate=2, generator_steps=2), "accumulate is 2 beside several generator_steps"),
        (lambda: Phase(generator_steps=0), r"phase\.generator_steps is 0: want 1 or more"),
        (lambda: Phase(discriminator_steps=-1), r"phase\.discriminator_steps is -1: want 0 or more"),
        (lambda: _training(phases=[Phase(), Phase(8)]), "0 images before the last"),
        (lambda: _training(phases=[Phase()], discriminator_steps=2), "phases and steps or weights of its own"),
        (lambda: _model("paired", phases=[Phase(weights={"L1": 1.0})]), r"weights has L1: want one of adversarial, l1"),
        (lambda: _model("paired", weights={"L1": 1.0}), r"training.weights has L1: want one of adversarial, l1"),
    ],
)
def test_a_plan_that_makes_no_sense_is_one_line(make, words):
    with pytest.raises(UserError, match=words):
        make()


def test_weighted_sums_leave_out_what_has_no_weight():
    def costly():
        raise AssertionError

    losses = {"a": torch.tensor(2.0), "b": costly, "c": lambda: torch.tensor(3.0)}
    total, parts = weighted_sum(losses, {"b": 0.0, "c": 10.0})
    assert float(total) == 32.0
    assert parts == {"a": torch.tensor(2.0), "c": torch.tensor(3.0)}
    with pytest.raises(ValueError, match="weight 0"):
        weighted_sum(losses, dict.fromkeys(losses, 0.0))


def test_a_translation_is_evaluated_by_pairs_and_by_sets():
    module, data = _model("paired").eval(), Pairs()
    metrics = Evaluation(samples=4, distances=[FrechetDistance]).measure(module, data)
    with torch.no_grad():
        batch = next(data.batches("val", 4))
        output = module.translate(batch)
    errors = (output.double() - batch["image"].double()).flatten(1)
    psnr = (20 * math.log10(255) - 10 * errors.square().mean(1).log10()).mean()
    assert metrics["psnr"]["value"] == pytest.approx(float(psnr), rel=1e-5)
    assert metrics["l1"]["value"] == pytest.approx(float(errors.abs().mean() / 255), rel=1e-5)
    assert any(name.startswith("fd_") for name in metrics)
