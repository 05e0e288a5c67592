"""One random file of Inception weights: our FID is torch-fidelity's and torchmetrics' on the same images."""

import hashlib
from functools import cache

import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.metrics.frechet import FrechetDistance
from lightning_gen.metrics.kernel import KernelDistance
from lightning_gen.metrics.pretrained import Inception
from lightning_gen.metrics.score import InceptionScore, inception_score
from lightning_gen.precision import products_of_float32

SPEC = ImageSpec(3, 32, 32)
#: building and running the whole network
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """As large as the real file, with weights of a size that keeps the activations alive to the last layer."""
    from torch_fidelity import feature_extractor_inceptionv3 as inception

    class Random(inception.FeatureExtractorInceptionV3):
        def load_state_dict(self, state, strict=True, assign=False):
            return None

    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save({}, path)
    torch.manual_seed(0)
    net = Random("inception", ["2048"], str(path))
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.1, 0.1)
    torch.save(net.state_dict(), path)
    return str(path), hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def sets():
    chance = torch.Generator().manual_seed(0)
    real = torch.randint(256, (10, 3, 32, 32), generator=chance, dtype=torch.uint8)
    return real, (torch.randint(256, (10, 3, 32, 32), generator=chance) * 0.8).to(torch.uint8)


@cache
def _extractor(weights, resize):
    return Inception(SPEC, *weights, resize=resize)


def _ours(make, weights, sets, resize):
    metric = make(_extractor(weights, resize))
    metric.update(sets[0], real=True)
    metric.update(sets[1], real=False)
    return metric.compute()


@pytest.mark.parametrize("resize", ["tf1", pytest.param("aa", marks=pytest.mark.exhaustive)])
def test_fid_is_that_of_torchmetrics(resize, weights, sets):
    from torchmetrics.image.fid import FrechetInceptionDistance

    peer = FrechetInceptionDistance(feature_extractor_weights_path=weights[0], antialias=resize == "aa")
    peer.update(sets[0], real=True)
    peer.update(sets[1], real=False)
    ours = _ours(FrechetDistance, weights, sets, resize)
    assert next(iter(ours)) == f"fd_inception-{_extractor(weights, resize).hash}-{resize}"
    assert float(next(iter(ours.values()))) == pytest.approx(float(peer.compute()), rel=1e-6)


def test_fid_is_that_of_torch_fidelity(weights, sets):
    import torch_fidelity

    peer = torch_fidelity.calculate_metrics(
        input1=_Images(sets[0]),
        input2=_Images(sets[1]),
        fid=True,
        cuda=False,
        verbose=False,
        feature_extractor_weights_path=weights[0],
        save_cpu_ram=True,
        cache=False,
    )["frechet_inception_distance"]
    assert float(next(iter(_ours(FrechetDistance, weights, sets, "tf1").values()))) == pytest.approx(peer, rel=1e-6)


class _Images(torch.utils.data.Dataset):
    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index]


def test_another_file_is_refused_by_its_hash(weights, tmp_path):
    with pytest.raises(UserError, match=r"SHA-256 .*want 6726825d"):
        Inception(SPEC, weights[0])
    with pytest.raises(UserError, match=r"nowhere.pth: want a file"):
        Inception(SPEC, "nowhere.pth")


def test_without_weights_and_without_network_one_plain_line(monkeypatch, tmp_path):
    from torch_fidelity import feature_extractor_inceptionv3 as inception

    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(inception, "load_state_dict_from_url", refuse)
    with pytest.raises(UserError, match=r"cannot be had \(no network\); want extractor.weights, a file"):
        Inception(SPEC)


def test_kernel_distance_and_score_take_the_same_features(weights, sets):
    assert next(iter(_ours(KernelDistance, weights, sets, "tf1"))).startswith("kid_inception-")
    value = float(next(iter(_ours(InceptionScore, weights, sets, "tf1").values())))
    assert 1 <= value <= 1008


def test_inception_score_of_certain_and_of_ignorant_classifiers():
    certain = 100 * torch.eye(10).repeat(5, 1)
    assert inception_score(certain) == pytest.approx(10)
    assert inception_score(torch.zeros(20, 7)) == pytest.approx(1)


@pytest.mark.parametrize("resize", ["tf1", "aa"])
@pytest.mark.parametrize("shape", [(8, 8), (32, 20), (299, 299), (310, 300)])
def test_a_resize_by_products_is_the_resize(resize, shape, weights):
    net = _extractor(weights, resize)
    x = torch.randint(256, (2, 3, *shape), generator=torch.Generator().manual_seed(0)).float() / 128 - 1
    assert torch.allclose(net.resized(x), net._interpolated(x), atol=2e-6)


def test_precision_is_part_of_the_name_and_torch_keeps_its_own(weights):
    assert Inception(SPEC, *weights, dtype="tf32").label.endswith("-tf1-tf32")
    places = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [place.allow_tf32 for place in places]
    for rounded in (True, False):
        with products_of_float32(rounded=rounded):
            assert [place.allow_tf32 for place in places] == [rounded] * 2
        assert [place.allow_tf32 for place in places] == before


def test_torch_keeps_its_precision_whichever_way_it_was_set():
    """Torch has an older setting with three values and newer ones, and tells none where they differ."""
    before, matmul = torch.get_float32_matmul_precision(), torch.backends.cuda.matmul
    try:
        torch.set_float32_matmul_precision("medium")
        with products_of_float32(rounded=False):
            pass
        assert torch.get_float32_matmul_precision() == "medium"
        torch.set_float32_matmul_precision("highest")
        matmul.fp32_precision = "tf32"
        with products_of_float32(rounded=False):
            assert matmul.fp32_precision == "ieee"
        assert matmul.fp32_precision == "tf32"
    finally:
        torch.set_float32_matmul_precision(before)
