"""Encoders and decoders of vectors."""

import pytest
import torch

from lightning_gen.images import ImageSpec
from lightning_gen.nets.vae.codebook import Codebook
from lightning_gen.nets.vae.convolutional import (
    ConvDecoder,
    ConvEncoder,
    ResidualDecoder,
    ResidualEncoder,
)
from lightning_gen.nets.vae.mlp import MLPDecoder, MLPEncoder


@torch.no_grad()
@pytest.mark.parametrize(
    ("encoder", "decoder"), [(ConvEncoder, ConvDecoder), (ResidualEncoder, ResidualDecoder), (MLPEncoder, MLPDecoder)]
)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 12), (1, 5, 7)], ids=str)
def test_encoders_and_decoders_take_every_size(encoder, decoder, shape):
    spec = ImageSpec(*shape, 17)
    x = torch.rand(2, *shape)
    assert encoder(spec)(x).shape == (2, encoder(spec).features)
    assert decoder(spec, 5, 7)(torch.randn(2, 5)).shape == (2, 7, *shape[1:])


def test_the_nearest_vector_is_found_far_from_zero():
    torch.manual_seed(0)
    book, z = Codebook(16, 4).eval(), torch.randn(5, 4, 3, 3)
    near = book(z)
    with torch.no_grad():
        book.vectors += 1e4
    assert (book(z + 1e4) == near).float().mean() > 0.95  # float32 itself has steps of 0.001 there
