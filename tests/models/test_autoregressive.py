"""Total probability over tiny worlds; samples, completions and sequential decoding follow the stated probabilities."""

import itertools
from functools import partial

import pytest
import torch

from lightning_gen.distributions.likelihoods import Categorical, DiscretizedGaussian, LogisticMixture, pick
from lightning_gen.images import ImageSpec
from lightning_gen.models.autoregressive import Autoregressive
from lightning_gen.nets.autoregressive.causal import WholeImageReader
from lightning_gen.nets.autoregressive.gated_pixelcnn import GatedPixelCNN
from lightning_gen.nets.condition import Label
from tests.nets.causal_cases import CASES

SMALL = partial(GatedPixelCNN, width=9, layers=2)


@pytest.mark.parametrize("name", CASES)
def test_samples_equal_those_of_the_slow_reader(name, monkeypatch):
    model = _model(ImageSpec(3, 4, 5, 4, classes=2), net=CASES[name], condition=Label)
    first = model.sample(6, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(type(model.net), "reader", lambda *arguments: WholeImageReader(*arguments))
    assert torch.equal(first, model.sample(6, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("name", CASES)
def test_every_network_looks_at_its_condition(name):
    model = _model(ImageSpec(1, 4, 5, 4, classes=2), net=CASES[name], condition=Label)
    assert model.condition_keys == ("label",)
    image = torch.ones(2, 1, 4, 5, dtype=torch.uint8)
    log_prob = model.log_prob(image, {"label": torch.tensor([0, 1])})
    assert log_prob[0].item() != log_prob[1].item()


def _model(spec, likelihood=Categorical, net=SMALL, **arguments):
    torch.manual_seed(0)
    return Autoregressive(spec, net, torch.optim.Adam, likelihood, **arguments).eval()


def _world(spec):
    return torch.tensor(list(itertools.product(range(spec.levels), repeat=spec.dims)), dtype=torch.uint8).view(
        -1, *spec.shape
    )


@pytest.mark.parametrize("likelihood", [Categorical, LogisticMixture, DiscretizedGaussian])
@pytest.mark.parametrize("shape", [(1, 1, 2, 5), (1, 2, 2, 3), (3, 1, 1, 3), (2, 2, 1, 3)], ids=str)
def test_total_probability_is_one(shape, likelihood):
    spec = ImageSpec(*shape)
    total = _model(spec, likelihood).log_prob(_world(spec)).double().exp().sum()
    assert total.item() == pytest.approx(1.0, abs=1e-5)


def test_samples_follow_the_stated_probabilities():
    """3,000 samples of a world of 27 images: no frequency is off by more than five standard deviations."""
    spec, n = ImageSpec(3, 1, 1, 3), 3000
    model = _model(spec)
    p = model.log_prob(_world(spec)).detach().double().exp()
    drawn = model.sample(n, generator=torch.Generator().manual_seed(0)).view(n, 3).long() @ torch.tensor([9, 3, 1])
    frequency = drawn.bincount(minlength=27) / n
    assert ((frequency - p).abs() < 5 * (p * (1 - p) / n).sqrt()).all()


def test_completion_keeps_the_known_pixels():
    image = torch.tensor([[[[3, 1]]]], dtype=torch.uint8).repeat(20, 1, 1, 1)
    known = torch.tensor([[[[True, False]]]]).expand(20, 1, 1, 2)
    done = _model(ImageSpec(1, 1, 2, 5)).complete(image, known, torch.Generator().manual_seed(0))
    assert (done[..., 0] == 3).all()
    assert len(done[..., 1].unique()) > 1
    assert (image[..., 1] == 1).all(), "the input was changed"


@pytest.mark.parametrize(
    ("known", "exact"), [([1, 1, 0, 0], True), ([0, 0, 0, 0], True), ([0, 0, 1, 0], False), ([1, 0, 0, 1], False)]
)
def test_a_completion_knows_whether_it_is_exact(known, exact):
    mask = torch.tensor(known).bool().view(1, 1, 2, 2)
    assert _model(ImageSpec(1, 2, 2, 5)).completes_exactly(mask) == exact


def test_completion_looks_at_known_pixels_that_come_later():
    """The first of two pixels is missing; 2,000 completions against the exact p(first | second) of a world of 9."""
    spec, n = ImageSpec(1, 2, 1, 3), 2000
    model = _model(spec)
    for p in model.parameters():
        torch.nn.init.normal_(p, 0.0, 0.5, generator=torch.Generator().manual_seed(p.numel()))
    joint = model.log_prob(_world(spec)).detach().double().exp().view(3, 3)
    known = torch.tensor([False, True]).view(1, 1, 2, 1).expand(n, -1, -1, -1)
    for second in range(3):
        image = torch.full((n, 1, 2, 1), second, dtype=torch.uint8)
        done = model.complete(image, known, generator=torch.Generator().manual_seed(0))
        assert torch.equal(done[:, :, 1], image[:, :, 1])
        p = joint[:, second] / joint[:, second].sum()
        frequency = done[:, 0, 0, 0].long().bincount(minlength=3) / n
        # 64 attempts leave a bias of the order 1/64 beside the noise of 2,000 draws.
        assert ((frequency - p).abs() < 4 * (p * (1 - p) / n).sqrt() + 0.02).all()
    assert (joint.softmax(0) - joint.sum(1, keepdim=True)).abs().max() > 0.05, "the pixels do not depend on one another"


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
def test_sequential_decoding_states_the_probabilities_of_log_prob(name):
    spec = ImageSpec(3, 4, 5, 4, classes=2)
    model = _model(spec, LogisticMixture, CASES[name], condition=Label)
    image = torch.randint(4, (3, *spec.shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    condition, total = {"label": torch.tensor([0, 1, 1])}, torch.zeros(3, dtype=torch.float64)

    def choose(p, place):
        level = image[:, *place]
        total.add_(p.gather(1, level.long()[:, None])[:, 0].log())
        return level

    assert torch.equal(model.decode_sequentially(3, choose, condition), image)
    torch.testing.assert_close(total.float(), model.log_prob(image, condition), atol=1e-3, rtol=1e-5)


def test_a_pick_is_where_the_distribution_passes():
    p = torch.tensor([[0.25, 0.5, 0.25]], dtype=torch.float64).expand(4, -1)
    assert pick(p, torch.tensor([[0.0], [0.24], [0.26], [0.999]])).tolist() == [0, 0, 1, 2]
