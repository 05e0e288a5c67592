"""Conditions: the context has its length, draws are a function of the seed, wrong rows are one plain line."""

import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.nets.condition import Attributes, Label, Unconditional

SPEC = ImageSpec(1, 4, 4, classes=3, attributes=2)
CASES = [Unconditional, Label, Attributes]


def _seeded():
    return torch.Generator().manual_seed(5)


@pytest.mark.parametrize("make", CASES)
def test_draws_are_a_function_of_the_seed_and_become_the_context(make):
    condition = make(SPEC)
    first, second = (condition.rows(None, 7, _seeded()) for _ in range(2))
    context = condition.vector(first)
    if not condition.features:
        assert context is None
        assert first is None
        return
    assert context.shape == (7, condition.features)
    assert torch.equal(context, condition.vector(second))


@pytest.mark.parametrize("make", [Label, Attributes])
def test_given_rows_are_kept_and_counted(make):
    condition = make(SPEC)
    given = condition.draw(4, _seeded())
    assert condition.rows(given, 4) is given
    with pytest.raises(UserError, match=r"has 4 rows of \w+: want 5"):
        condition.rows(given, 5)
    with pytest.raises(UserError, match="condition lacks"):
        condition(None)


def test_every_class_is_drawn_about_as_often():
    drawn = Label(SPEC).draw(3000, _seeded())["label"].bincount(minlength=3)
    assert drawn.min() > 900


@pytest.mark.parametrize("make", [Label, Attributes])
def test_a_set_without_what_is_wanted_is_refused(make):
    with pytest.raises(UserError, match="data has no"):
        make(ImageSpec(1, 4, 4))
