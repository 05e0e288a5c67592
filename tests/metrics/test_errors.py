"""Each standard error against the spread of its number over fresh sets; moments far from zero; ties."""

import math

import pytest
import torch

from lightning_gen.data.digits import Digits
from lightning_gen.evaluation.likelihood import likelihood_metric
from lightning_gen.inference.importance import importance_sampled
from lightning_gen.metrics.frechet import factor, frechet_distance
from lightning_gen.metrics.kernel import KernelDistance
from lightning_gen.metrics.manifold import fidelity_diversity, radii
from lightning_gen.metrics.modes import nearest_mode
from lightning_gen.metrics.pairs import learned_similarity, pair_values
from lightning_gen.metrics.score import InceptionScore, inception_score
from lightning_gen.tasks.evidence import mean_and_error

FRESH = 40  # sets; their spread is known to about 11 %


class _Features(torch.nn.Module):
    label, frechet, dims = "test", "fd", 8

    def logits(self, features):
        return features


def _agree(values, errors):
    """The root of the mean squared error, by the spread, which 40 sets know to a tenth."""
    ratio = torch.tensor(errors).square().mean().sqrt() / torch.tensor(values).std()
    assert 0.7 < ratio < 1.4, f"{ratio:.2f} times the spread"


@pytest.mark.parametrize("shift", [0.0, 0.3], ids=["equal sets", "different sets"])
@pytest.mark.parametrize(("real", "generated", "size"), [(120, 120, 50), (100, 300, 60), (80, 80, 80)], ids=str)
def test_the_error_of_the_kernel_distance_is_its_spread_over_fresh_sets(real, generated, size, shift):
    """Where a subset is the whole set, too: there the spread over subsets is 0."""
    torch.manual_seed(0)
    distance, values, errors = KernelDistance(_Features(), subsets=20, size=size), [], []
    for _ in range(FRESH):
        reference = distance.reference(torch.randn(real, 8))
        (found,) = distance.compare(reference, torch.randn(generated, 8) + shift)
        values.append(found.value)
        errors.append(found.error)
    _agree(values, errors)


def test_a_kernel_distance_of_three_images_has_no_error():
    distance = KernelDistance(_Features(), subsets=2, size=3)
    (found,) = distance.compare(distance.reference(torch.randn(3, 8)), torch.randn(3, 8))
    assert math.isfinite(found.value)
    assert found.error is None


def test_the_error_of_the_inception_score_is_its_spread_over_fresh_sets():
    torch.manual_seed(0)
    found = [InceptionScore(_Features(), splits=10).compare({}, 2 * torch.randn(400, 8))[0] for _ in range(FRESH)]
    _agree([f.value for f in found], [f.error for f in found])


def test_parts_of_the_inception_score_differ_by_one_image_at_most():
    logits = torch.randn(23, 4)
    (found,) = InceptionScore(_Features(), splits=5).compare({}, logits)
    parts = [logits[a:b] for a, b in ((0, 4), (4, 9), (9, 13), (13, 18), (18, 23))]  # where i * 23 / 5 rounds down
    assert found.value == pytest.approx(sum(map(inception_score, parts)) / 5)
    (few,) = InceptionScore(_Features(), splits=5).compare({}, logits[:3])
    assert math.isfinite(few.value)


def test_the_error_of_bits_per_dim_is_its_spread_over_fresh_sets():
    torch.manual_seed(0)
    rows = [
        likelihood_metric(torch.randn(100).double().exp(), "exact", Digits(), "test")["bits_per_dim"]
        for _ in range(FRESH)
    ]
    _agree([row["value"] for row in rows], [row["error"] for row in rows])


def test_errors_of_pairs_are_their_spread_over_fresh_sets():
    torch.manual_seed(0)

    def pairs():
        image = torch.randint(256, (30, 1, 12, 12), dtype=torch.uint8)
        noise = torch.randn(image.shape) * (5 + 40 * torch.rand(30, 1, 1, 1))
        return pair_values((image + noise).round().clamp(0, 255).to(torch.uint8), image, 256)

    found = [pairs() for _ in range(FRESH)]
    for values in zip(*found, strict=True):
        _agree([value.value for value in values], [value.error for value in values])


def test_the_error_of_lpips_is_its_spread_over_fresh_sets(tmp_path, monkeypatch):
    """By networks that measure the mean difference: the error is of the mean over pairs, whatever judges them."""

    class Backbone:
        features = ()

        def load_state_dict(self, state):
            pass

    class Judge(torch.nn.Module):
        def __init__(self, **options):
            super().__init__()
            self.net = torch.nn.Module()

        def forward(self, x, y):
            return (x - y).abs().mean((1, 2, 3), keepdim=True)

    monkeypatch.setattr("torchvision.models.alexnet", Backbone)
    monkeypatch.setattr("torchmetrics.functional.image.lpips._LPIPS", Judge)
    torch.save({}, tmp_path / "weights.pth")
    torch.manual_seed(0)

    def measured():
        image = torch.randint(256, (30, 3, 32, 32), dtype=torch.uint8)
        noise = torch.randn(image.shape) * 80 * torch.rand(30, 1, 1, 1)
        changed = (image + noise).round().clamp(0, 255).to(torch.uint8)
        return learned_similarity(changed, image, 256, str(tmp_path / "weights.pth"))

    found = [measured() for _ in range(FRESH)]
    _agree([f.value for f in found], [f.error for f in found])


def test_the_errors_of_evidence_are_its_spread_over_fresh_sets_and_over_fresh_draws():
    """z ~ N(0, 1), x|z ~ N(z, 1), proposal N(x / 2, 0.8): each image's evidence has an error of its 64 draws, and the
    mean over images one of the images."""
    torch.manual_seed(0)
    normal = torch.distributions.Normal

    def evidence(x):
        proposal = normal(x / 2, 0.8)
        z = proposal.sample((64,))
        return importance_sampled(normal(0.0, 1.0).log_prob(z) + normal(z, 1.0).log_prob(x) - proposal.log_prob(z))

    sets = [mean_and_error(evidence(2**0.5 * torch.randn(100)).log_prob) for _ in range(FRESH)]
    _agree([row["value"] for row in sets], [row["error"] for row in sets])
    x = 2**0.5 * torch.randn(100)
    draws = [evidence(x) for _ in range(FRESH)]
    errors = [float(found.error.square().sum().sqrt() / len(x)) for found in draws]
    _agree([float(found.log_prob.mean()) for found in draws], errors)


@pytest.mark.parametrize("mean", [0.0, 1e6, -3e7])
def test_features_far_from_zero_have_the_same_numbers(mean):
    torch.manual_seed(0)
    real, generated = torch.randn(80, 4).double(), torch.randn(60, 4).double() + 0.3
    near = fidelity_diversity(real, radii(real, 3), generated, 3)
    a, b = real + mean, generated + mean
    assert fidelity_diversity(a, radii(a, 3), b, 3) == near
    torch.testing.assert_close(radii(a, 3), radii(real, 3), atol=1e-6, rtol=0)
    expected = frechet_distance(real.mean(0), factor(real), generated.mean(0), factor(generated))
    assert frechet_distance(a.mean(0), factor(a), b.mean(0), factor(b)) == pytest.approx(expected, rel=1e-6)
    centre = torch.tensor([[mean], [mean + 1]], dtype=torch.float64)
    points = torch.tensor([[mean + 0.25], [mean + 0.75], [mean + 3]], dtype=torch.float64)
    assert nearest_mode(points, centre, 0.4).tolist() == [0, 1, -1]


@pytest.mark.parametrize("shift", [0.0, 0.5, 1e5])
def test_a_point_at_exactly_the_radius_lies_outside(shift):
    """Reals at 0, 2, 4 have radius 2 with k = 1: 2 is the nearest point of 0, and at distance 2 from it."""
    real = torch.tensor([[0.0], [2.0], [4.0]]).double() + shift
    at_the_edge = torch.tensor([[6.0], [-2.0]]).double() + shift
    assert fidelity_diversity(real, radii(real, 1), at_the_edge, 1)["precision"] == 0
    assert fidelity_diversity(real, radii(real, 1), at_the_edge + 0.001, 1)["precision"] == 0.5
    same = {"precision": 1.0, "recall": 1.0, "density": 1.0, "coverage": 1.0}
    assert fidelity_diversity(real, radii(real, 1), real, 1) == same


def test_a_set_of_one_image_that_repeats_is_measured():
    real = torch.ones(8, 3).double()
    numbers = fidelity_diversity(real, radii(real, 2), torch.zeros(6, 3).double(), 2)
    assert all(math.isfinite(value) for value in numbers.values())
