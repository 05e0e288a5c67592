"""The VQ-VAE: nearest vectors, gradients of its three terms, a bound that is one, samples that follow the prior."""

from functools import partial

import pytest
import torch
from torch import nn

from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec, to_signed
from lightning_gen.models.vqvae import VQVAE
from lightning_gen.nets.autoregressive.gated_pixelcnn import GatedPixelCNN
from lightning_gen.nets.condition import Label
from lightning_gen.nets.vae.codebook import Codebook, ConvGridDecoder, ConvGridEncoder

SPEC = ImageSpec(1, 4, 6, 5, classes=3)


def _model(spec=SPEC, **arguments):
    torch.manual_seed(0)
    encoder, decoder = partial(ConvGridEncoder, width=4), partial(ConvGridDecoder, width=4)
    prior = partial(GatedPixelCNN, width=4, layers=2)
    arguments = {"codes": 6, "dim": 3} | arguments
    model = VQVAE(spec, encoder, decoder, prior, torch.optim.Adam, **arguments)
    for parameter in model.parameters():
        nn.init.normal_(parameter, 0.0, 0.4)
    return model.eval()


def _images(n, spec=SPEC):
    shape = (n, *spec.shape)
    return torch.randint(spec.levels, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_every_position_takes_the_nearest_vector():
    model = _model()
    z = model.encoder(to_signed(_images(5), 5))
    assert z.shape == (5, 3, 2, 3)
    distance = (z.movedim(1, -1)[..., None, :] - model.codebook.vectors).square().sum(-1)
    index = model.codebook(z)
    assert torch.equal(index, distance.argmin(-1))
    assert torch.equal(model.codebook.look_up(index)[2, :, 1, 0], model.codebook.vectors[index[2, 1, 0]])


def test_the_first_training_batch_sets_the_codebook_and_no_later_one():
    book = Codebook(4, 2)
    z = 7.0 + torch.randn(8, 2, 3, 3)
    book.eval()(z)
    assert not book.ready, "set outside training"
    book.train()(z)
    rows = z.movedim(1, -1).flatten(0, 2)
    assert (torch.cdist(book.vectors, rows).amin(1) < 0.1).all()
    before = book.vectors.clone()
    book(z + 100.0)
    assert torch.equal(book.vectors, before)


def test_encoder_codebook_and_prior_each_learn_from_their_own_term():
    model, image = _model(), _images(4)
    z = model.encoder(to_signed(image, 5))
    index = model.codebook(z)
    nearest = model.codebook.look_up(index)
    commitment = torch.autograd.grad(
        0.25 * (z - nearest.detach()).square().sum(), model.encoder.parameters(), retain_graph=True
    )
    codebook = torch.autograd.grad((nearest - z.detach()).square().sum(), model.codebook.vectors)[0]
    model.objective(image).sum().backward()
    torch.testing.assert_close(model.codebook.vectors.grad, codebook, msg="reconstruction moves the codebook")
    through = [p.grad for p in model.encoder.parameters()]
    assert all(p is not None for p in through)
    assert not torch.allclose(through[0], commitment[0]), "no gradient passes straight through"
    assert all(p.grad is not None and p.grad.any() for p in model.prior.parameters())


@torch.no_grad()
def test_the_bound_counts_one_code_per_image_so_all_images_hold_at_most_one():
    model = _model(ImageSpec(1, 2, 2, 2), codes=4)
    world = torch.cartesian_prod(*[torch.arange(2)] * 4).to(torch.uint8).view(-1, 1, 2, 2)
    total = model.log_prob(world).double().exp().sum().item()
    # the grid has one position: the exact probability sums over its codes as well
    grid = torch.arange(4)[:, None, None]
    prior = -model._rate(grid, None)[:, 0]
    each = torch.stack([-model._distortion(model.codebook.look_up(g[None].expand(16, -1, -1)), world) for g in grid])
    exact = (each + prior[:, None]).logsumexp(0)
    assert exact.double().exp().sum().item() == pytest.approx(1.0, abs=1e-5)
    assert (model.log_prob(world) <= exact + 1e-5).all()
    assert 0.0 < total < 1.0


@torch.no_grad()
def test_samples_follow_prior_and_decoder():
    model = _model(ImageSpec(1, 2, 2, 2), codes=4)
    drawn = model.sample(20000, generator=torch.Generator().manual_seed(0)).flatten(1).long()
    frequency = (drawn @ torch.tensor([8, 4, 2, 1])).bincount(minlength=16) / 20000
    world = torch.cartesian_prod(*[torch.arange(2)] * 4).to(torch.uint8).view(-1, 1, 2, 2)
    grid = torch.arange(4)[:, None, None]
    prior = -model._rate(grid, None)[:, 0]
    each = torch.stack([-model._distortion(model.codebook.look_up(g[None].expand(16, -1, -1)), world) for g in grid])
    p = (each + prior[:, None]).logsumexp(0).exp()
    assert (frequency - p).abs().max() < 0.02


def test_the_prior_sees_the_vectors_before_each_position_and_reads_them_one_by_one():
    model = _model()
    shown = model.codebook.look_up(torch.randint(6, (2, 2, 3))).detach().requires_grad_()
    raw = model.prior(shown)
    with torch.no_grad():
        reader = model.prior.reader(shown)
    for place in range(6):
        row, column = divmod(place, 3)
        (seen,) = torch.autograd.grad(raw[:, :, row, column].sum(), shown, retain_graph=True)
        sees = seen.abs().sum((0, 1)).flatten() > 0
        assert not sees[place:].any()
        assert sees[max(0, place - 1) : place].all()
        here = raw[:, :, row : row + 1, column : column + 1]
        with torch.no_grad():
            if row and not column:
                reader.descend(row)
            reader.enter(row, column)
            torch.testing.assert_close(reader.read(), here, atol=1e-5, rtol=1e-4)
            reader.pixel.copy_(shown[:, :, row, column])
            reader.leave()


@torch.no_grad()
def test_a_condition_reaches_the_prior():
    model = _model(condition=partial(Label, features=4))
    image, label = _images(2), torch.tensor([0, 1])
    assert model.condition_keys == ("label",)
    a, b = (model.terms(image, {"label": x}) for x in (label, 1 - label))
    assert torch.equal(a[0], b[0])
    assert not torch.allclose(a[1], b[1])
    assert model.sample(3).shape == (3, 1, 4, 6)
    assert model.reconstruct(image).dtype == torch.uint8


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"codes": 257}, "model.codes is 257: want 2 to 256"),
        ({"codes": 1}, "model.codes is 1: want 2 to 256"),
        ({"dim": 0}, "model.dim is 0: want 1 or more"),
        ({"commitment": 0.0}, "model.commitment is 0.0: want more than 0"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments, words):
    with pytest.raises(UserError, match=words):
        _model(**arguments)


def test_bad_scales_are_refused_in_one_line():
    with pytest.raises(UserError, match="scales is 0: want 1 or more"):
        ConvGridEncoder(SPEC, 3, scales=0)
    assert ConvGridEncoder(ImageSpec(1, 6, 7), 3).size == (6, 7)
