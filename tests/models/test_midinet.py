"""MidiNet: its losses by the formula, straight-through gradients, its networks as the paper has them."""

from functools import partial

import pytest
import torch
from torch.nn.functional import softplus

from lightning_gen.contracts import AdversarialTraining
from lightning_gen.data.bars import ToyMelodies
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.losses.adversarial import OneSidedSmoothing
from lightning_gen.losses.penalties import R1, R2
from lightning_gen.models.midinet import MidiNet
from lightning_gen.music.notation import chord_vector
from lightning_gen.nets.music.condition import one_hot_bars
from lightning_gen.nets.music.midinet import BarGenerator, GumbelOneHot, OneHot, Sigmoid
from lightning_gen.nets.music.residual_bars import ResidualBarDiscriminator, ResidualBarGenerator

SPEC = ToyMelodies(4).spec


def model(**options):
    torch.manual_seed(0)
    adam = partial(torch.optim.Adam, lr=1e-3)
    return MidiNet(SPEC, OneSidedSmoothing(0.9), AdversarialTraining(adam, adam, generator_steps=2), **options)


def batch(n=8):
    return next(ToyMelodies(4).batches("train", n))


def test_losses_are_those_of_the_paper():
    module, rows = model().train(False), batch()
    chord, real, fake = chord_vector(rows["label"]), one_hot_bars(rows["image"]), module.make_fakes(rows)
    module._shared_fakes = fake
    before = one_hot_bars(rows["previous"])
    of_real, of_fake = (module.discriminator(bars, chord, before) for bars in (real, fake))
    found = module.generator_losses(rows)
    difference = of_fake.features[0].mean(0) - of_real.features[0].mean(0)
    assert torch.allclose(found["features"], difference.square().sum() / 2)
    assert torch.allclose(found["mean_bar"], (fake.mean(0) - real.mean(0)).square().sum() / 2)
    assert torch.allclose(found["adversarial"], softplus(-of_fake.logits).mean())
    p, q = of_real.logits.sigmoid(), of_fake.logits.sigmoid()
    wanted = -(0.9 * p.log() + 0.1 * (1 - p).log()).mean() - (1 - q).log().mean()
    assert torch.allclose(module.discriminator_losses(rows)["adversarial"], wanted, atol=1e-5)


def test_one_hot_outputs_have_the_gradient_of_the_softmax():
    raw = torch.randn(2, 38, 16, requires_grad=True)
    out, weights = OneHot()(raw, torch.rand(2, 38, 16)), torch.randn(2, 38, 16)
    assert torch.equal(out.detach().round().sum(1), torch.ones(2, 16))
    (found,) = torch.autograd.grad((out * weights).sum(), raw)
    (wanted,) = torch.autograd.grad((raw.softmax(1) * weights).sum(), raw)
    assert torch.allclose(found, wanted)


def test_drawn_symbols_have_the_probabilities_of_the_softmax():
    torch.manual_seed(0)
    raw = torch.randn(1, 38, 1).expand(20000, 38, 16)
    drawn = GumbelOneHot().symbols(raw, torch.rand(raw.shape)).long()
    shares = torch.bincount(drawn.flatten(), minlength=38) / drawn.numel()
    assert torch.allclose(shares, raw[0, :, 0].softmax(0), atol=0.003)
    out = GumbelOneHot()(raw[:8], torch.rand(8, 38, 16))
    assert torch.allclose(out.sum(1), torch.ones(8, 16))
    assert torch.equal(Sigmoid()(raw[:8], out), raw[:8].sigmoid())


@pytest.mark.parametrize(("joins", "seen"), [((2, 4, 8, 16), True), ((16,), True), ((), False)])
def test_the_bar_before_is_read_where_it_is_joined(joins, seen):
    generator = BarGenerator(8, joins).eval()
    z, chord = torch.randn(4, 8), chord_vector(torch.arange(4))
    one, other = (torch.randn(4, 38, 16, requires_grad=True) for _ in range(2))
    assert torch.equal(generator(z, chord, one), generator(z, chord, other)) != seen


def test_samples_hold_nothing_after_silence():
    module, rows = model().eval(), batch(32)
    bars = module.sample(32, rows)[:, 0, 0].long()
    for step in range(1, 16):
        assert not ((bars[:, step] == 36) & (bars[:, step - 1] == 37)).any()


def test_images_are_refused():
    adam = partial(torch.optim.Adam, lr=1e-3)
    with pytest.raises(UserError, match="MidiNet wants bars of melody"):
        MidiNet(ImageSpec(1, 8, 8), OneSidedSmoothing(), AdversarialTraining(adam, adam))
    with pytest.raises(UserError, match=r"loss.target is 0.3: want above 0.5"):
        OneSidedSmoothing(0.3)


def test_penalties_are_gradients_of_one_bar_each():
    make = {"generator": partial(ResidualBarGenerator, width=8, blocks=1)}
    make["discriminator"] = partial(ResidualBarDiscriminator, width=8, blocks=1)
    module, rows = model(**make, regularizers=[R1(2.0), R2(4.0)]), batch()
    found = module.discriminator_losses(rows)
    real = one_hot_bars(rows["image"])
    slopes = []
    for i in range(len(real)):
        one = {key: value[i : i + 1] for key, value in rows.items()}
        bar = real[i : i + 1].clone().requires_grad_(True)
        slopes.append(torch.autograd.grad(module.judge(bar, one).logits.sum(), bar)[0].square().sum())
    assert torch.allclose(found["r1"], torch.stack(slopes).mean(), rtol=1e-4)
    assert found["r2"] > 0
    assert not torch.equal(
        module.judge(real, rows).logits, module.judge(real, {**rows, "previous": rows["image"]}).logits
    )
