"""Wrong pairs are wrong, the penalty is the gradient's norm, equal colours cost nothing."""

import math

import pytest
import torch
from torch.nn.functional import one_hot

from lightning_gen.errors import UserError
from lightning_gen.losses.adversarial import NonSaturating
from lightning_gen.losses.contrastive import text_image_nce
from lightning_gen.losses.matching import (
    CaptionContrast,
    MatchingPenalty,
    colour_consistency,
    equal_rows,
    mismatched_rows,
)


def test_a_wrong_pair_never_has_an_equal_text():
    words = torch.tensor([[1, 2], [1, 2], [3, 0], [1, 2], [3, 0]])
    assert mismatched_rows(words).tolist() == [2, 2, 3, 4, 0]
    assert mismatched_rows(torch.ones(3, 2)).tolist() == [0, 1, 2]  # there is no other text
    assert mismatched_rows(torch.arange(4)[:, None]).tolist() == [1, 2, 3, 0]  # the batch rolled by one


def test_the_right_caption_among_many_costs_least_and_equal_ones_do_not_count():
    words, others = torch.tensor([[1, 2], [3, 0], [1, 2]]), torch.tensor([[3, 0], [4, 5]])
    same = equal_rows(words, others)
    assert same.int().tolist() == [[1, 0, 1, 0, 0], [0, 1, 0, 1, 0], [1, 0, 1, 0, 0]]
    contrast = CaptionContrast(2.0)
    even = float(contrast(torch.zeros(3, 5), same))  # the right one among 4, 4 and 4: one equal caption is left out
    assert even == pytest.approx(2.0 * math.log(4))
    assert float(contrast(20.0 * same, same)) == pytest.approx(0.0, abs=1e-6)
    assert float(contrast(-20.0 * same, same)) > 30
    with pytest.raises(UserError, match="contrast has weight -1, 1000 captions, 0 images alone"):
        CaptionContrast(-1.0)


def test_a_hard_word_is_learned_among_many_captions_and_not_from_one_wrong_caption():
    """Two random captions differ in the plain word seven times of eight, and little gradient is left for the faint one:
    a fraction of what many captions give it."""
    torch.manual_seed(0)
    words = torch.cartesian_prod(torch.arange(8), torch.arange(8))  # (64, 2): plain, faint
    codes = torch.cat([one_hot(part, 8) for part in words.T], 1).float()  # (64, 16)
    found = {}
    for name in ("one", "many"):
        plain, faint = torch.tensor(8.0), torch.zeros((), requires_grad=True)
        shown = torch.cat([plain * codes[:, :8], faint * codes[:, 8:]], 1)
        scores = shown @ codes.T  # (64, 64); the plain word is known
        if name == "many":
            loss = CaptionContrast()(scores, equal_rows(words, words[:0]))
        else:
            loss = NonSaturating().discriminator(scores.diagonal() - 4, scores[:, torch.randperm(64)].diagonal() - 4)
        loss.backward()
        found[name] = -float(faint.grad)
    assert found["many"] > 5 * abs(found["one"])


def test_the_penalty_of_a_linear_critic_is_the_power_of_its_norm():
    weight, other = torch.randn(12), torch.randn(5)

    def critic(image, code):
        return image.flatten(1) @ weight + code @ other

    norm = (weight.square().sum() + other.square().sum()).sqrt()
    found = MatchingPenalty(2.0, 6.0)(critic, torch.randn(4, 3, 2, 2), torch.randn(4, 5))
    assert float(found.detach()) == pytest.approx(2 * float(norm) ** 6, rel=1e-4)
    with pytest.raises(UserError, match="penalty is -1 times the power 6"):
        MatchingPenalty(-1.0)


def test_colour_consistency_is_zero_for_the_same_colours_and_teaches_the_larger_picture_alone():
    small = torch.rand(2, 3, 4, 4).requires_grad_()
    large = small.detach().repeat_interleave(2, 2).repeat_interleave(2, 3).requires_grad_()
    assert float(colour_consistency([small, large]).detach()) == pytest.approx(0.0, abs=1e-10)
    colour_consistency([small, large + 0.1]).backward()
    assert small.grad is None
    assert large.grad.abs().sum() > 0
    assert float(colour_consistency([small, large + 0.1]).detach()) == pytest.approx(0.01, rel=1e-3)


def test_contrastive_pairs_cost_least_where_they_agree_and_equal_captions_are_no_error():
    vectors = torch.eye(4)
    same = torch.eye(4, dtype=torch.bool)
    assert text_image_nce(vectors, vectors, same) < 0.01
    assert text_image_nce(vectors, vectors.roll(1, 0), same) > 5
    twice = vectors[[0, 0, 1, 2]]
    equal = (twice @ twice.T) > 0.5
    assert text_image_nce(twice, twice, equal) < 0.01
