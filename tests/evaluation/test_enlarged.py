"""Numbers of enlarged pictures: the published ones of bicubic, other implementations, and what sets them apart."""

import importlib.util
import math
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_gen.data.degradation import Bicubic, Chain, Noise
from lightning_gen.data.embedded_pictures import SamplePhotos
from lightning_gen.data.large_pictures import LargePictures
from lightning_gen.errors import UserError
from lightning_gen.evaluation.enlarged import enlarged_metrics
from lightning_gen.evaluation.protocol import Evaluation
from lightning_gen.images import ImageSpec
from lightning_gen.metrics.frechet import FrechetDistance
from lightning_gen.metrics.luma import luma, scaled_table
from lightning_gen.metrics.pairs import similarity
from lightning_gen.metrics.texture import BlockSpectrum
from lightning_gen.resampling import resample, resample_levels

SHARED = Path(os.environ.get("LIGHTNING_GEN_SHARED", "../shared")) / "data"


def _by(method, scale=4):
    def enlarge(batch):
        source = batch["source"]
        return resample_levels(source, (scale * source.shape[2], scale * source.shape[3]), 256, method)

    return enlarge


def _read(path):
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            yield torch.from_numpy(np.array(Image.open(archive.open(name)).convert("RGB"))).permute(2, 0, 1)[None]


def test_bicubic_on_set5_is_what_the_literature_has():
    """28.43 dB where all colours are enlarged and then taken as luma."""
    if not (SHARED / "Set5").is_dir():
        pytest.skip(f"no {SHARED / 'Set5'}: the test pictures are not here")
    root, low = (str(SHARED / "Set5" / name) for name in ("HR.zip", "LR_bicubic_x4.zip"))
    data = LargePictures(root, test=root, test_low=low, crop=48)
    found = enlarged_metrics(_by("bicubic"), data, "test")
    assert found["psnr_y"]["value"] == pytest.approx(28.429, abs=0.002)
    assert found["ssim_y"]["value"] == pytest.approx(0.8111, abs=0.0001)
    assert found["psnr_y"]["identity"]["degradation"] == "Bicubic scale 4, files of test"


def test_the_published_values_are_those_of_the_luma_alone():
    """28.42 dB and 0.8104, as in the tables since SRCNN: the luma is rounded, then shrunk and enlarged by itself."""
    if not (SHARED / "Set5").is_dir():
        pytest.skip(f"no {SHARED / 'Set5'}: the test pictures are not here")
    rows = []
    for image in _read(SHARED / "Set5" / "HR.zip"):
        height, width = (side // 4 for side in image.shape[2:])
        y = luma(image[:, :, : 4 * height, : 4 * width]).round()
        again = resample(resample(y, (height, width)), (4 * height, 4 * width)).round()
        a, b = (part[:, :, 4:-4, 4:-4] for part in (again, y))
        rows.append(
            (10 * math.log10(255**2 / float((a - b).square().mean())), float(similarity(a.float(), b.float(), 255.0)))
        )
    assert np.mean(rows, 0) == pytest.approx([28.42, 0.8104], abs=0.001)


def test_values_are_those_of_scikit_image():
    if not importlib.util.find_spec("skimage"):
        pytest.skip("scikit-image is not installed: it is no dependency")
    from skimage.color import rgb2ycbcr
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    batch = SamplePhotos().picture("val", 0)
    image, target = _by("bilinear")(batch), batch["image"]
    table = scaled_table(image, target, 4)
    x, y = (rgb2ycbcr(part[0].permute(1, 2, 0).numpy())[4:-4, 4:-4, 0] for part in (image, target))
    assert np.abs(luma(image)[0, 0, 4:-4, 4:-4].numpy() - x).max() < 1e-6
    assert float(table["psnr_y"]) == pytest.approx(peak_signal_noise_ratio(y, x, data_range=255), abs=1e-4)
    options = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    _, places = structural_similarity(y, x, full=True, **options)
    assert float(table["ssim_y"]) == pytest.approx(places[5:-5, 5:-5].mean(), abs=1e-4)


def test_luma_and_borders():
    white = torch.full((1, 3, 30, 30), 255, dtype=torch.uint8)
    assert float(luma(white).mean()) == pytest.approx(235)
    assert float(luma(white[:, :1]).mean()) == pytest.approx(235)
    assert float(luma(torch.zeros_like(white)).mean()) == 16
    framed = white.clone()
    framed[:, :, :4] = framed[:, :, :, :4] = framed[:, :, -4:] = framed[:, :, :, -4:] = 0
    assert math.isinf(float(scaled_table(framed, white, 4)["psnr_y"]))
    assert float(scaled_table(framed, white, 3)["psnr_y"]) < 20
    tiny = scaled_table(framed[:, :, :1, :1], white[:, :, :1, :1], 4)
    assert "ssim_y" not in tiny
    assert float(tiny["psnr_rgb"]) == 0


def test_identities_tell_degradation_scale_border_and_channels_apart():
    rows = []
    for degradation in (Bicubic(4), Bicubic(2), Chain([Noise(), Bicubic(4)])):
        data = SamplePhotos(degradation)
        rows += enlarged_metrics(_by("bicubic", data.scale), data, "val").values()
    identities = [str(row["identity"]) for row in rows]
    assert len(set(identities)) == 6  # luma and RGB of each; texture and PSNR are apart by their names
    assert rows[0]["identity"]["degradation"] == "Bicubic scale 4"
    assert (rows[0]["identity"]["border"], rows[0]["identity"]["images"]) == (4, 1)
    assert SamplePhotos(crop=32).fingerprint == SamplePhotos().fingerprint, "crops are no part of numbers of pictures"
    with pytest.raises(UserError, match="want one size"):
        enlarged_metrics(_by("bicubic", 2), SamplePhotos(), "val")


def test_distances_of_spectra_see_blur_and_not_what_is_on_a_patch():
    data = SamplePhotos()
    spectrum = lambda spec: BlockSpectrum(spec)  # noqa: E731
    evaluation = Evaluation("test", 104, extractor=spectrum, distances=[FrechetDistance])
    real = [batch["image"] for batch in data.batches("test", 64)]

    def distance(change):
        return next(iter(evaluation.distance(lambda i: change(real[i]), 104, data).values()))["value"]

    def blurred(x):
        return resample_levels(resample_levels(x, (12, 12)), (48, 48))

    assert distance(lambda x: x) == pytest.approx(0, abs=1e-3)
    assert distance(blurred) > 20 * distance(lambda x: x.flip(3)) > 0
    with pytest.raises(UserError, match="BlockSpectrum wants 1 or 3 channels, 8x8 pixels or more"):
        BlockSpectrum(ImageSpec(3, 4, 4))
