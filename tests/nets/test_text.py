"""Captions as a condition: words change the vector, a checkpoint alone can draw, strange texts do no harm."""

import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.nets.condition import ConditioningAugmentation
from lightning_gen.nets.text.bags import HashedWords
from lightning_gen.nets.text.encoder import tokens

SPEC = ImageSpec(3, 8, 8, text=True)
TEXTS = ["a red star", "a blue star", "ein grüner Kreis", "звезда", "", "!?", "word " * 500]


def test_every_text_becomes_a_finite_vector_of_its_own():
    vector = HashedWords(SPEC).vector({"text": TEXTS})
    assert vector.shape == (len(TEXTS), 64)
    assert vector.isfinite().all()
    assert not torch.equal(vector[0], vector[1])
    assert torch.equal(vector[4], torch.zeros(64))  # no words, no meaning
    assert tokens("A red-ish STAR, 2 of them!") == ["a", "red", "ish", "star", "2", "of", "them"]


def test_the_order_of_words_matters():
    red_blue, blue_red = HashedWords(SPEC).vector({"text": ["red over blue", "blue over red"]})
    assert not torch.equal(red_blue, blue_red)


def test_training_captions_are_drawn_from_the_checkpoint_alone():
    condition = HashedWords(SPEC)
    with pytest.raises(UserError, match="no captions to draw from"):
        condition.draw(2)
    condition.learn([{"text": TEXTS[:2]}, {"text": TEXTS[2:4]}])
    other = HashedWords(SPEC)
    other.load_state_dict(condition.state_dict())
    drawn = [c.rows(None, 20, torch.Generator().manual_seed(3))["text"] for c in (condition, other)]
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) == set(TEXTS[:4])


def test_conditioning_augmentation_blurs_in_training_alone_and_costs_its_divergence():
    torch.manual_seed(0)
    condition = ConditioningAugmentation(SPEC, HashedWords, features=8, weight=2.0)
    batch = {"text": TEXTS[:2]}
    first, second = condition(batch), condition(batch)
    assert not torch.equal(first.vector, second.vector)
    mean, log_sigma = condition.moments(condition.inner.vector(batch)).chunk(2, 1)
    normal = torch.distributions.Normal(mean, log_sigma.exp())
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    assert torch.allclose(first.loss, 2.0 * expected)
    condition.eval()
    assert condition(batch).loss is None
    assert torch.equal(condition(batch).vector, mean)


def test_a_set_without_captions_is_refused():
    with pytest.raises(UserError, match="data has no captions"):
        HashedWords(ImageSpec(1, 4, 4))
