"""Distances against closed forms, peers and torchmetrics; the embedded extractor's ranking of faults."""

import pytest
import torch
from scipy.linalg import sqrtm
from torch.nn.functional import conv2d, pad

from lightning_gen.data.digits import Digits
from lightning_gen.metrics.distances import SetDistance
from lightning_gen.metrics.extractors import PCA, Classifier, fit_classifier, fit_pca, weights_hash
from lightning_gen.metrics.frechet import FrechetDistance, factor, frechet_distance, nuclear_norm
from lightning_gen.metrics.kernel import KernelDistance, squared_mmd
from lightning_gen.metrics.manifold import FidelityDiversity, fidelity_diversity, radii


def _gaussian(count, dims, seed):
    g = torch.Generator().manual_seed(seed)
    mix = torch.randn(dims, dims, generator=g, dtype=torch.float64)
    return torch.randn(count, dims, generator=g, dtype=torch.float64) @ mix + torch.randn(dims, generator=g)


def _distance(a, b):
    return frechet_distance(a.mean(0), factor(a), b.mean(0), factor(b))


@pytest.mark.parametrize(("count", "dims"), [(200, 8), (10, 30), (31, 30)])
def test_frechet_agrees_with_the_root_of_the_product(count, dims):
    """On both sides of N = D, where the Gram form takes over."""
    a, b = _gaussian(count, dims, 1), _gaussian(count + 5, dims, 2)
    ca, cb = (torch.cov(x.T).numpy() for x in (a, b))
    ridge = 0 if count > dims else 1e-10  # sqrtm fails on singular products: the peer needs help, ours does not
    product = sqrtm((ca + ridge * torch.eye(dims).numpy()) @ (cb + ridge * torch.eye(dims).numpy())).real
    wanted = float((a.mean(0) - b.mean(0)).square().sum()) + ca.trace() + cb.trace() - 2 * product.trace()
    assert _distance(a, b) == pytest.approx(wanted, rel=1e-9 if not ridge else 1e-3)


def test_nuclear_norm_of_badly_conditioned_factors():
    """Square, by the eigenvalues of the Gram matrix, against the singular values 1 to 1e-9."""
    scales = torch.logspace(0, -9, 60, dtype=torch.float64)
    left, right = (torch.linalg.qr(_gaussian(60, 60, seed)).Q for seed in (1, 2))
    assert float(nuclear_norm(left * scales @ right)) == pytest.approx(float(scales.sum()), rel=1e-8)


def test_frechet_of_features_that_repeat():
    """A singular covariance with N > D: a column repeated, and one that never moves."""
    x, y = _gaussian(200, 4, 1), _gaussian(200, 4, 2)
    a, b = (torch.cat([z, z[:, :1], torch.ones(200, 1)], 1) for z in (x, y))
    assert factor(a).shape == (6, 4)
    mean, roots = (a.mean(0), b.mean(0)), [torch.linalg.svd(z - z.mean(0), full_matrices=False) for z in (a, b)]
    exact = [r.Vh.T * (r.S / 199**0.5) for r in roots]
    assert _distance(a, b) == pytest.approx(frechet_distance(mean[0], exact[0], mean[1], exact[1]), rel=1e-9)


def test_frechet_of_known_gaussians():
    """N(0, I) and N(m, s^2 I): |m|^2 + D (1 - s)^2."""
    mean = torch.tensor([3.0, 4.0]).double()
    value = frechet_distance(torch.zeros(2).double(), torch.eye(2).double(), mean, 2 * torch.eye(2).double())
    assert value == pytest.approx(25 + 2)


def test_frechet_of_a_set_with_itself_is_zero():
    a = _gaussian(300, 20, 3)
    assert _distance(a, a[torch.randperm(300)]) < 1e-9


def test_kernel_distance_is_unbiased_and_agrees_with_a_double_loop():
    a, b = _gaussian(6, 3, 1), _gaussian(5, 3, 2)

    def k(x, y):
        return (float(x @ y) / 3 + 1) ** 3

    aa = sum(k(a[i], a[j]) for i in range(6) for j in range(6) if i != j) / 30
    bb = sum(k(b[i], b[j]) for i in range(5) for j in range(5) if i != j) / 20
    ab = sum(k(x, y) for x in a for y in b) / 30
    assert float(squared_mmd(a, b)) == pytest.approx(aa + bb - 2 * ab)


def test_precision_recall_density_coverage_of_separated_and_equal_sets():
    a = _gaussian(50, 4, 1)
    same = fidelity_diversity(a, radii(a, 3), a, 3)
    assert same["precision"] == same["recall"] == same["coverage"] == 1
    far = fidelity_diversity(a, radii(a, 3), a + 1e3, 3)
    assert set(far.values()) == {0.0}
    few = fidelity_diversity(a, radii(a, 3), a[:2].repeat(25, 1), 3)  # mode collapse: precise, not diverse
    assert few["precision"] == 1
    assert few["coverage"] < 0.3
    assert few["recall"] < 0.3


def test_density_counts_balls():
    """Naeem et al. 2020, Eq. 4, by hand: reals at 0, 1, 3 with k = 1 have radii 1, 1, 2."""
    real = torch.tensor([[0.0], [1.0], [3.0]]).double()
    out = fidelity_diversity(real, radii(real, 1), torch.tensor([[1.5], [9.0]]).double(), 1)
    assert radii(real, 1).tolist() == [1, 1, 2]
    assert out["precision"] == 0.5
    assert out["density"] == pytest.approx((2 + 0) / 2)
    assert out["coverage"] == pytest.approx(2 / 3)


@pytest.fixture(scope="module")
def digits():
    data = Digits()
    return data, torch.cat([data.splits[s]["image"] for s in ("train", "val", "test")])


@pytest.fixture(scope="module")
def classifier(digits):
    train = digits[0].splits["train"]
    return fit_classifier(train["image"], train["label"], digits[0].spec)


def test_the_classifier_is_the_same_twice_and_can_classify(digits, classifier):
    train, test = digits[0].splits["train"], digits[0].splits["test"]
    torch.rand(7)  # the caller's random state must not matter, nor be touched
    state = torch.get_rng_state()
    again = fit_classifier(train["image"], train["label"], digits[0].spec)
    assert weights_hash(again) == weights_hash(classifier)
    assert torch.equal(state, torch.get_rng_state())
    logits = classifier.head(classifier(test["image"]))
    assert float((logits.argmax(1) == test["label"]).float().mean()) > 0.93


@torch.no_grad()
def test_the_embedded_extractor_ranks_faults_on_every_split(digits, classifier):
    """real < noise 0.1 < noise 0.3 < three classes dropped, and < blur, on 8 random halves of the digits."""
    data, image = digits
    label = torch.cat([data.splits[s]["label"] for s in ("train", "val", "test")])
    for seed in range(8):
        g = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(image), generator=g)
        a, b = order[: len(image) // 2], order[len(image) // 2 :]
        other = image[b]
        sets = [other, _noisy(other, 0.1, g), _noisy(other, 0.3, g), other[label[b] > 2], _blurred(other)]
        real = classifier(image[a]).double()
        values = [_distance(real, classifier(x).double()) for x in sets]
        assert values[0] < values[1] < values[2] < min(values[3:]), (seed, values)


def _noisy(image, strength, generator):
    noise = torch.randn(image.shape, generator=generator) * 16 * strength
    return (image.float() + noise).round().clamp(0, 16).byte()


def _blurred(image):
    line = torch.tensor([1.0, 2, 1]) / 4
    return conv2d(pad(image.float(), (1, 1, 1, 1), mode="replicate"), (line[:, None] * line)[None, None]).round().byte()


def test_pca_components_are_orthonormal_and_leading(digits):
    net = fit_pca(digits[1], digits[0].spec, 8)
    assert torch.allclose(net.components.T @ net.components, torch.eye(8), atol=1e-5)
    variances = net(digits[1]).var(0)
    assert (variances.diff() <= 0).all()
    assert isinstance(net, PCA)
    assert net.label.startswith("pca-")


@pytest.mark.parametrize("make", [FrechetDistance, KernelDistance, FidelityDiversity])
def test_on_torchmetrics_interface(make, digits, classifier):
    image = digits[1]
    metric: SetDistance = make(classifier)
    for part in image[:600].split(100):
        metric.update(part, real=True)
    for part in image[600:1000].split(70):
        metric.update(part, real=False)
    values = metric.compute()
    real, fake = classifier(image[:600]), classifier(image[600:1000])
    wanted = {v.name: v.value for v in metric.compare(metric.reference(real), fake)}
    assert {k: float(v) for k, v in values.items()} == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    assert all(name.endswith(classifier.label) for name in values)
    assert not metric.state_dict()  # an extractor in a checkpoint would be megabytes of no use
    assert sum(p.numel() for p in metric.parameters()) == 0


@pytest.mark.parametrize("side", [8, 28, 32, 64])
def test_the_classifier_fits_every_size(side):
    from lightning_gen.images import ImageSpec

    net = Classifier(ImageSpec(3, side, side, classes=4)).eval()
    assert net(torch.zeros(2, 3, side, side, dtype=torch.uint8)).shape == (2, net.dims)
    assert net(torch.zeros(2, 3, side, side, dtype=torch.uint8)).isfinite().all()
