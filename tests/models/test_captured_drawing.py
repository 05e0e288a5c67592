"""Drawing by captured graphs gives the images of drawing in Python; on the CPU by a double that replays operations."""

from functools import partial

import pytest
import torch

from lightning_gen.distributions.likelihoods import Categorical, DiscretizedGaussian, LogisticMixture
from lightning_gen.graphs import Replays
from lightning_gen.images import ImageSpec
from lightning_gen.models.autoregressive import Autoregressive
from lightning_gen.models.vqvae import VQVAE
from lightning_gen.nets.autoregressive.causal import WholeImageReader
from lightning_gen.nets.autoregressive.gated_pixelcnn import GatedPixelCNN
from lightning_gen.nets.autoregressive.pixelcnnpp import PixelCNNpp
from lightning_gen.nets.condition import Label
from lightning_gen.nets.vae.codebook import ConvGridDecoder, ConvGridEncoder
from tests.nets.causal_cases import CASES
from tests.recorded import recorded
from tests.training.capturable import HostMakers, HostTensors

__all__ = ["recorded"]  # a fixture

SPEC, LABELS = ImageSpec(3, 6, 7, 8, classes=2), {"label": torch.tensor([0, 1, 1])}
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def _model(name, likelihood=Categorical, spec=SPEC):
    torch.manual_seed(0)
    model = Autoregressive(spec, CASES[name], torch.optim.Adam, likelihood, condition=Label).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.mul_(2.0)
    return model


def _drawn(model, draw):
    condition = {key: value.to(model.device) for key, value in LABELS.items()}
    return draw(model, condition, torch.Generator().manual_seed(1))


def _sample(model, condition, generator):
    return model.sample(3, condition, temperature=0.9, generator=generator)


def _complete_the_end(model, condition, generator):
    image, known = torch.ones(3, *SPEC.shape, dtype=torch.uint8), torch.zeros(3, 1, 6, 7, dtype=torch.bool)
    known[:, :, :2] = True
    return model.complete(image.to(model.device), known.to(model.device), condition, generator)


def _complete_the_middle(model, condition, generator):
    image, known = torch.ones(3, *SPEC.shape, dtype=torch.uint8), torch.ones(3, 1, 6, 7, dtype=torch.bool)
    known[:, :, 1:4, 2:5] = False
    return model.complete(image.to(model.device), known.to(model.device), condition, generator)


def _eager(model, draw):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Replays, "recorders", {})
        return _drawn(model, draw)


@pytest.mark.parametrize(
    "likelihood", [Categorical, partial(LogisticMixture, mixtures=3)], ids=["softmax", "logistics"]
)
@pytest.mark.parametrize("name", CASES)
def test_replayed_images_are_those_of_python(name, likelihood, recorded):
    model = _model(name, likelihood)
    images = _drawn(model, _sample)
    assert len(recorded) >= 2
    assert torch.equal(images, _eager(model, _sample))
    assert images.float().std() > 1


@pytest.mark.parametrize("draw", [_complete_the_end, _complete_the_middle])
def test_replayed_completions_are_those_of_python(draw, recorded):
    model = _model("pixelcnn++", partial(LogisticMixture, mixtures=3))
    assert torch.equal(_drawn(model, draw), _eager(model, draw))
    assert len(recorded) >= 2


def test_a_network_without_a_reader_is_replayed(recorded, monkeypatch):
    model = _model("gated")
    images = _drawn(model, _sample)
    monkeypatch.setattr(type(model.net), "reader", lambda *arguments: WholeImageReader(*arguments))
    assert torch.equal(_drawn(model, _sample), images)


def test_a_callback_is_never_captured(recorded):
    places = []

    def choose(p, place):
        places.append(place)
        return p.argmax(1).to(torch.uint8)

    _model("gated").decode_sequentially(3, choose, LABELS)
    assert len(places) == SPEC.dims
    assert recorded == []


def test_a_grid_of_codes_is_replayed(recorded):
    torch.manual_seed(0)
    encoder, decoder = partial(ConvGridEncoder, width=4), partial(ConvGridDecoder, width=4)
    prior = partial(GatedPixelCNN, width=8, layers=2)
    model = VQVAE(ImageSpec(1, 12, 16, 5), encoder, decoder, prior, torch.optim.Adam, codes=6, dim=3).eval()
    images = model.sample(4, generator=torch.Generator().manual_seed(0))
    assert recorded
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Replays, "recorders", {})
        assert torch.equal(images, model.sample(4, generator=torch.Generator().manual_seed(0)))


def test_a_stale_number_of_python_is_found(recorded, monkeypatch):
    """The double itself: a reader that counts columns in Python gives other images where it is replayed."""
    model = _model("pixelcnn++")
    enter = PixelCNNpp.reader

    def planted(net, x, context=None):
        reader = enter(net, x, context)
        own = reader.enter
        reader.enter = lambda row, column: (own(row, column), reader.raw.mul_(1 + column))
        return reader

    monkeypatch.setattr(PixelCNNpp, "reader", planted)
    assert not torch.equal(_drawn(model, _sample), _eager(model, _sample))


@pytest.mark.parametrize(
    ("name", "likelihood"),
    [*((name, Categorical) for name in CASES), ("gated", LogisticMixture), ("gated", DiscretizedGaussian)],
)
def test_nothing_is_read_from_the_device_or_made_on_the_host_at_a_pixel(name, likelihood, monkeypatch):
    model, found, seen = _model(name, likelihood).to("meta"), [], set()

    def once(self, kind, work):
        if kind not in seen:
            with HostTensors(found), HostMakers(found):
                work()
        seen.add(kind)

    monkeypatch.setattr(Replays, "run", once)
    monkeypatch.setitem(Replays.recorders, "meta", lambda: None)
    monkeypatch.setattr(Autoregressive, "completes_exactly", lambda *_: True)
    _drawn(model, _sample)
    seen.clear()
    _drawn(model, _complete_the_end)
    assert found == []
    assert len(seen) >= 2


@NO_GPU
@pytest.mark.parametrize("name", CASES)
def test_images_of_graphs_are_those_of_python_on_a_gpu(name):
    model = _model(name, partial(LogisticMixture, mixtures=3)).cuda()
    for draw in (_sample, _complete_the_end, _complete_the_middle):
        assert torch.equal(_drawn(model, draw), _eager(model, draw)), draw.__name__
    before = torch.cuda.memory_allocated()
    _drawn(model, _sample)
    assert torch.cuda.memory_allocated() == before
