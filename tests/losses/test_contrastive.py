"""PatchNCE against its formula written out, its bounds, and where its gradient goes."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from lightning_gen.losses.contrastive import patch_nce


def test_patch_nce_is_its_formula():
    query, key = (normalize(torch.randn(3, 5, 4, dtype=torch.float64), dim=2) for _ in range(2))
    total = 0.0
    for b in range(3):
        for i in range(5):
            alike = [math.exp(float(query[b, i] @ key[b, j]) / 0.2) for j in range(5)]
            total -= math.log(alike[i] / sum(alike))
    assert float(patch_nce(query, key, 0.2)) == pytest.approx(total / 15)


def test_patch_nce_knows_places_that_are_told_apart_and_those_that_are_not():
    apart, alike = torch.eye(6)[None], torch.ones(1, 6, 1)
    assert float(patch_nce(apart, apart)) < 1e-5
    assert float(patch_nce(alike, alike)) == pytest.approx(math.log(6))
    assert float(patch_nce(apart, apart.roll(1, 1))) == pytest.approx(1 / 0.07, rel=1e-4)


def test_no_gradient_reaches_the_source():
    query, key = torch.randn(1, 4, 3, requires_grad=True), torch.randn(1, 4, 3, requires_grad=True)
    patch_nce(query, key).backward()
    assert key.grad is None
    assert query.grad.abs().sum() > 0
