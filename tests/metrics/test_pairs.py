"""PSNR and SSIM against their formulas; LPIPS only with weights."""

import math

import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.metrics.pairs import learned_similarity, pair_table, pair_values


def _pictures(levels=256):
    return torch.randint(levels, (4, 3, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.mark.parametrize("levels", [256, 17])
def test_psnr_is_its_formula(levels):
    image = _pictures(levels).clamp(max=levels - 2)
    psnr, ssim = pair_values(image, image + 1, levels)  # every squared error is 1
    assert psnr.value == pytest.approx(20 * math.log10(levels - 1), rel=1e-6)
    assert psnr.error == pytest.approx(0, abs=1e-6)
    assert 0 < ssim.value < 1


def test_equal_pairs_have_similarity_1_and_infinite_psnr():
    psnr, ssim = pair_values(_pictures(), _pictures(), 256)
    assert psnr.value == math.inf
    assert ssim.value == pytest.approx(1)


def test_bad_pairs_are_refused():
    with pytest.raises(UserError, match=r"want two uint8"):
        pair_values(_pictures(), _pictures().float(), 256)
    with pytest.raises(UserError, match=r"8x8 pixels: SSIM wants 11x11"):
        pair_values(_pictures()[..., :8, :8], _pictures()[..., :8, :8], 256)


def test_lpips_without_weights_is_one_plain_line():
    with pytest.raises(UserError, match=r"lpips.weights is None: want a file with the weights of torchvision"):
        learned_similarity(_pictures(), _pictures(), 256, None)


def test_lpips_takes_every_layer_of_the_file(tmp_path):
    from torchvision.models import alexnet

    torch.manual_seed(0)
    net = alexnet()
    torch.save(net.state_dict(), tmp_path / "alexnet.pth")
    a = torch.randint(256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    values = [learned_similarity(a, b, 256, str(tmp_path / "alexnet.pth")).value for b in (a, 255 - a)]
    assert values[0] == 0
    assert values[1] > 0
    again = learned_similarity(a, 255 - a, 256, str(tmp_path / "alexnet.pth")).value
    assert again == values[1]  # nothing random is left in it


@pytest.mark.parametrize("channels", [1, 3])
def test_psnr_and_ssim_are_those_of_scikit_image(channels):
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(256, (3, channels, 24, 31), generator=generator, dtype=torch.uint8)
    image = (target.int() + torch.randint(-40, 41, target.shape, generator=generator)).clamp(0, 255).to(torch.uint8)
    table = pair_table(image, target, 256)
    gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": 0}
    for i in range(3):
        a, b = image[i].numpy(), target[i].numpy()
        assert float(table["psnr"][i]) == pytest.approx(metrics.peak_signal_noise_ratio(b, a, data_range=255), abs=1e-6)
        wanted = metrics.structural_similarity(b, a, data_range=255, **gaussian)
        assert float(table["ssim"][i]) == pytest.approx(wanted, abs=1e-4)
