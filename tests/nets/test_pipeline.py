"""Augmentation by the whole pipeline: matrices, filters, exactness, and second derivatives."""

import math

import pytest
import torch
from torch.nn.functional import avg_pool2d, pad

from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.losses.penalties import R1, StepCount
from lightning_gen.nets.gan.augment import AdaptiveAugment, DiffAugment
from lightning_gen.nets.gan.pipeline import (
    Pipeline,
    _Draw,
    _grey_parts,
    colour_matrices,
    filter_bank,
    geometry_matrices,
)
from lightning_gen.nets.gan.style_discriminator import StyleDiscriminator
from lightning_gen.nets.gan.warp import Warp, fold, sample_at

ALL = dict.fromkeys(("flip", "blit", "geometry", "colour", "filters", "noise", "cutout"), 1.0)
EACH = [{other: float(other == name) for other in ALL} for name in ALL]


def _smooth(*shape):
    x = torch.randn(*shape, dtype=torch.float64)
    return avg_pool2d(pad(x, (2, 2, 2, 2), mode="reflect"), 5, 1)


def _inverse(*rows):
    return torch.tensor(rows, dtype=torch.float64)[None]


def test_a_warp_by_whole_pixels_is_exact_and_a_mirror_image_nearly():
    x, warp = _smooth(1, 3, 16, 12), Warp()
    assert torch.allclose(warp(x, _inverse([1.0, 0, 0], [0, 1, 0])), x, atol=1e-9)
    moved = warp(x, _inverse([1.0, 0, -3], [0, 1, 2]))
    assert torch.allclose(moved[:, :, :-2, 3:], x[:, :, 2:, :-3], atol=1e-9)
    mirror = warp(x, _inverse([-1.0, 0, 0], [0, 1, 0]))
    assert float((mirror - x.flip(3)).abs().mean()) < 0.1 * float(x.std())
    square = _smooth(1, 1, 16, 16)
    turned = warp(square, _inverse([0.0, 1, 0], [-1, 0, 0]))
    assert float((turned - square.rot90(-1, (2, 3))).abs().mean()) < 0.1 * float(square.std())


def test_what_comes_in_at_the_edge_is_the_reflection():
    assert fold(torch.tensor([-2.0, 0.0, 3.0, 4.0, 9.0]), 4).tolist() == [2.0, 0.0, 3.0, 2.0, 3.0]
    x = _smooth(1, 1, 16, 16)
    moved = Warp()(x, _inverse([1.0, 0, -3], [0, 1, 0]))
    assert torch.allclose(moved[..., :3], x[..., [3, 2, 1]], atol=0.02)


def test_geometry_is_one_matrix_that_is_the_identity_at_probability_0():
    x = torch.zeros(500, 1, 16, 8, dtype=torch.float64)
    never, always = (_Draw(x, torch.tensor(p)) for p in (0.0, 1.0))
    assert torch.equal(geometry_matrices(never, (16, 8), 1, 1, 1), torch.eye(3).double().expand(500, 3, 3))
    mirrored = geometry_matrices(always, (16, 8), 1, 0, 0)[:, 0, 0]
    assert set(mirrored.tolist()) == {1.0, -1.0}
    blits = geometry_matrices(always, (16, 8), 0, 1, 0)
    assert torch.equal(blits, blits.round())
    assert float(blits[:, :2, 2].abs().max()) <= 2
    full = geometry_matrices(always, (16, 8), 0, 0, 1)[:, :2, :2]
    # Scaling alone changes the area; the log of the determinant is -2 ln 2 times N(0, 0.2).
    area = full.det().abs().log()
    assert float(area.std()) == pytest.approx(2 * math.log(2) * 0.2, rel=0.15)


def test_rotation_has_the_probability_of_the_paper():
    """Two rotations, each with 1 - sqrt(1 - p): some rotation with p."""
    draw = _Draw(torch.zeros(20_000, 1, 1, 1), torch.tensor(0.3))
    some = (draw.rotation(1.0) != 0) | (draw.rotation(1.0) != 0)
    assert float(some.float().mean()) == pytest.approx(0.3, abs=0.02)


def test_colour_is_the_product_of_the_papers_matrices(monkeypatch):
    """Brightness, contrast, mirrored luma, hue and saturation one after the other, as 4x4 matrices."""
    drawn = {"normal": iter([0.5, -0.3, 0.8]), "uniform": iter([0.7, 0.9])}  # luma is mirrored, hue by 0.8 pi

    class Known(_Draw):
        def where(self, factor, value, otherwise):
            return value

        def normal(self):
            return torch.full((1,), next(drawn["normal"]), dtype=torch.float64)

        def uniform(self):
            return torch.full((1,), next(drawn["uniform"]), dtype=torch.float64)

    matrix, shift = colour_matrices(Known(torch.zeros(1, 3, 1, 1).double(), torch.tensor(1.0)), 1.0, _grey_parts())
    v = torch.ones(3, dtype=torch.float64) / math.sqrt(3)
    eye, axis = torch.eye(3, dtype=torch.float64), torch.outer(v, v)
    cross = torch.tensor([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]], dtype=torch.float64)
    angle = 0.8 * math.pi
    hue = math.cos(angle) * eye + math.sin(angle) * cross + (1 - math.cos(angle)) * axis
    saturation = axis + (eye - axis) * 2**0.8
    expected = saturation @ hue @ (eye - 2 * axis) * 2 ** (0.5 * -0.3)
    assert torch.allclose(matrix[0], expected)
    assert torch.allclose(shift.expand(3), expected @ torch.full((3,), 0.1, dtype=torch.float64))


def test_the_filters_sum_to_the_identity_and_split_the_octaves():
    bank = filter_bank()
    delta = torch.zeros(43, dtype=torch.float64)
    delta[21] = 1.0
    assert torch.allclose(bank.sum(0), delta, atol=1e-9)
    # The gain at frequencies within each octave: the filter of that octave is the largest there.
    for band, frequency in enumerate((0.02, 0.09, 0.18, 0.4)):
        wave = torch.cos(2 * math.pi * frequency * (torch.arange(43) - 21))
        assert int((bank @ wave.double()).argmax()) == band


@pytest.mark.parametrize("factors", EACH, ids=lambda f: max(f, key=f.get))
def test_each_part_keeps_shape_and_precision_and_is_off_at_0(factors):
    torch.manual_seed(0)
    for shape, dtype in (((16, 3, 8, 8), torch.float32), ((16, 1, 9, 12), torch.bfloat16)):
        x, pipeline = torch.randn(shape).to(dtype), Pipeline(**factors)
        seen = pipeline(x)
        assert (seen.shape, seen.dtype) == (x.shape, dtype)
        assert not torch.equal(seen, x)
        still = pipeline.sometimes(x, torch.zeros(()))
        assert torch.allclose(still, x, atol=1e-5)


def test_cutout_is_half_the_sides_and_filters_keep_constants():
    torch.manual_seed(0)
    cut = Pipeline(**EACH[-1])(torch.ones(200, 1, 16, 16))
    assert int((cut == 0).flatten(1).sum(1).max()) == 64
    same = Pipeline(**EACH[4])(torch.ones(8, 1, 16, 16, dtype=torch.float64))
    assert float((same - same.mean((2, 3), keepdim=True)).abs().max()) < 1e-9  # flat stays flat


def test_second_derivatives_of_sampling_and_of_the_whole_pipeline():
    grid = (2 * torch.rand(1, 3, 3, 2, dtype=torch.float64) - 1).requires_grad_(False)
    x = torch.randn(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: sample_at(v, grid), x)
    assert torch.autograd.gradgradcheck(lambda v: sample_at(v, grid).pow(3), x)

    pipeline = Pipeline(**ALL)

    def augmented(v):
        torch.manual_seed(5)  # the same draws each time
        return pipeline(v).pow(2)

    image = torch.randn(1, 3, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(augmented, image)
    assert torch.autograd.gradgradcheck(augmented, image)


def test_r1_through_augmentation_and_discriminator_has_the_right_gradient():
    torch.manual_seed(0)
    spec = ImageSpec(3, 8, 8)
    net = StyleDiscriminator(spec, 2, 2).double()
    pipeline, real = Pipeline(**ALL), torch.randn(2, 3, 8, 8, dtype=torch.float64)
    weight = net.join.weight

    def penalty(value):
        def critic(x):
            torch.manual_seed(7)
            return torch.func.functional_call(net, {"join.weight": value}, (pipeline(x),)).logits

        return R1(2.0).penalty(critic, real, real, StepCount(0, 0))

    assert torch.autograd.gradcheck(penalty, weight.detach()[:, :].clone().requires_grad_(True), atol=1e-4)


def test_adaptive_augmentation_tells_p_and_r_t_and_moves_constants_along():
    augment = AdaptiveAugment([Pipeline()], target=0.6, images=100, every=10)
    augment.observe(torch.tensor([1.0] * 9 + [-1.0]), 10)
    assert {name: round(float(v), 4) for name, v in augment.readings().items()} == {
        "augment_p": 0.1,
        "augment_r_t": 0.8,
    }
    assert DiffAugment([Pipeline()]).to("meta").parts[0].grey.device.type == "meta"


def test_a_negative_factor_is_one_line():
    with pytest.raises(UserError, match=r"transform Pipeline.colour is -1: want 0 or more"):
        Pipeline(colour=-1)
