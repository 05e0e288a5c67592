"""Large and small pictures: MATLAB's own filter, crops that fit each other, epochs that resume, files by name."""

import io
import os
import zipfile
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_gen.data import degradation
from lightning_gen.data.augment import Chain, Draws, HorizontalFlip, QuarterTurns
from lightning_gen.data.embedded_pictures import DigitPairs, SamplePhotos
from lightning_gen.data.files import Loader
from lightning_gen.data.large_pictures import LargePictures
from lightning_gen.errors import UserError
from lightning_gen.resampling import METHODS, resample, resample_levels

SET5 = Path(os.environ.get("LIGHTNING_GEN_SHARED", "../shared")) / "data" / "Set5"
STEPS = [degradation.Blur(), degradation.Noise(), degradation.Jpeg(), degradation.Bicubic(4)]


def _pictures(path: Path) -> dict[str, torch.Tensor]:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".png")]
        read = [np.array(Image.open(io.BytesIO(archive.read(name))).convert("RGB")) for name in names]
    return {Path(n).stem: torch.from_numpy(x).permute(2, 0, 1)[None] for n, x in zip(names, read, strict=True)}


@pytest.mark.parametrize("scale", [2, 4])
def test_bicubic_is_matlabs(scale):
    if not SET5.is_dir():
        pytest.skip(f"no {SET5}: MATLAB's files are not here")
    small = _pictures(SET5 / f"LR_bicubic_x{scale}.zip")
    for name, high in _pictures(SET5 / "HR.zip").items():
        height, width = (side // scale for side in high.shape[2:])
        high = high[:, :, : height * scale, : width * scale]
        made = degradation.Bicubic(scale)(high, 256, Draws(0, 0, torch.zeros(1)))
        assert torch.equal(made, small[f"{name}x{scale}"]), name


@pytest.mark.parametrize("method", METHODS)
def test_resampling_keeps_constants_and_places(method):
    flat = resample(torch.full((1, 1, 9, 7), 3.0), (5, 20), method)
    assert torch.allclose(flat, torch.full((1, 1, 5, 20), 3.0), atol=1e-5)
    ramp = torch.arange(40.0).expand(1, 1, 3, 40)
    larger = resample(ramp, (3, 80), method)[..., 20:60]
    tolerance = 0.3 if method == "nearest" else 0.05
    assert (larger - (torch.arange(20, 60) + 0.5).div(2).sub(0.5)).abs().max() < tolerance
    one = torch.tensor([[[[7.0]]]])
    assert torch.allclose(resample(one, (4, 4), method), torch.full((1, 1, 4, 4), 7.0))


def test_resampling_by_matrix_and_by_taps_agree(monkeypatch):
    image = torch.randint(256, (1, 3, 41, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    dense = resample_levels(image, (10, 30))
    monkeypatch.setattr("lightning_gen.resampling._DENSE", 0)
    assert torch.equal(resample_levels(image, (10, 30)), dense)
    with pytest.raises(UserError, match="resampling method is cubic: want one of nearest"):
        resample(image.float(), (10, 30), "cubic")


def test_every_crop_is_what_the_whole_picture_becomes():
    """Neither the border of a crop nor its place in the batch changes a pixel of the small picture."""
    data = SamplePhotos()
    whole = data.picture("test", 0)
    rows = data.rows("test")
    fixed = next(rows.batches([torch.arange(8)]))
    for (_, top, left), image, source in zip(rows.grid[:8].tolist(), fixed["image"], fixed["source"], strict=True):
        assert torch.equal(image, whole["image"][0, :, top : top + 48, left : left + 48])
        top, left = top // 4, left // 4
        assert torch.equal(source, whole["source"][0, :, top : top + 12, left : left + 12])
    assert data.spec.source.shape == (3, 12, 12)


def test_an_epoch_is_the_same_in_parts_and_for_more_processes():
    data = SamplePhotos(degradation.Chain(STEPS), 48, augment=Chain([HorizontalFlip(), QuarterTurns()]), batch_size=8)
    loader = data.train_dataloader()
    batches = list(islice(loader, 5))
    again = data.train_dataloader()
    again.load_state_dict({"epoch": 0, "position": 3})
    for found, wanted in zip(again, batches[3:], strict=False):
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)
    rows = data.rows("train")
    one, first, second = (
        list(rows.epoch(torch.Generator().manual_seed(1), rank, world, 8 // world))
        for rank, world in ((0, 1), (0, 2), (1, 2))
    )
    assert torch.equal(one[2][0::2], first[2])
    assert torch.equal(one[2][1::2], second[2])
    assert len({tuple(batch.tolist()) for batch in one}) == len(one)


def test_turns_and_flips_are_the_same_of_both_sizes():
    augment = Chain([HorizontalFlip(), QuarterTurns()])
    image = torch.randint(256, (16, 3, 8, 8), dtype=torch.uint8)
    source = image.repeat_interleave(2, 2).repeat_interleave(2, 3)
    turned, other = (augment(x, Draws(3, 0, torch.arange(16))) for x in (image, source))
    assert torch.equal(turned.repeat_interleave(2, 2).repeat_interleave(2, 3), other)
    assert (
        len(
            {
                tuple(x.flatten().tolist())
                for x in augment(image[:1].expand(16, -1, -1, -1), Draws(0, 0, torch.arange(16)))
            }
        )
        == 8
    )


def test_a_chain_degrades_each_picture_by_draws_of_its_own():
    flat = torch.full((4, 3, 32, 32), 100, dtype=torch.uint8)
    chain = degradation.Chain(STEPS)
    made = chain(flat, 256, Draws(0, 0, torch.arange(4)))
    assert made.shape == (4, 3, 8, 8)
    assert torch.equal(made[2:3], chain(flat[2:3], 256, Draws(0, 0, torch.tensor([2]))))
    assert len({float(x.float().std()) for x in made}) == 4
    words = "Blur sigma 0.2 to 2.0, then Noise sigma 1.0 to 15.0, then Jpeg quality 30 to 95, then Bicubic scale 4"
    assert str(chain) == words


def test_digits_come_from_smaller_ones():
    batch = next(DigitPairs().batches("test", 300))
    assert batch["source"].shape == (300, 1, 4, 4)
    assert int(batch["source"].max()) <= 16
    assert DigitPairs().fingerprint == DigitPairs().fingerprint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("set")
    for part, count, factor in (("high", 12, 1), ("low", 12, 2), ("test", 2, 1), ("test_low", 2, 2)):
        (root / part).mkdir()
        for i in range(count):
            ending = f"x{factor}" if part == "test_low" else ""
            pixels = np.full((21 // factor, (30 + i) // factor, 3), 10 * i + len(part.split("_")[0]), np.uint8)
            Image.fromarray(pixels).save(root / part / f"{i}{ending}.png")
    return root


def test_folders_of_small_and_large_pictures_are_pairs_by_name(folder):
    paths = {"root": folder / "high", "low": folder / "low", "test": folder / "test", "test_low": folder / "test_low"}
    data = LargePictures(**{k: str(v) for k, v in paths.items()}, degradation=degradation.Bicubic(2), crop=20)
    assert [data.pictures(split) for split in ("train", "val", "test")] == [11, 1, 2]
    assert data.degradation_words == "Bicubic scale 2, files of test and train"
    for split in ("train", "test"):
        batch = data.picture(split, 1)
        assert batch["image"].shape[2:] == tuple(2 * side for side in batch["source"].shape[2:])
        assert len(next(data.batches(split, 2))["source"]) == 2
    made = LargePictures(str(folder / "high"), degradation=degradation.Bicubic(2), crop=20)
    assert made.fingerprint != data.fingerprint


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"crop": 40}, "is 31x21: want a crop inside every picture"),
        ({"crop": 21}, "data.crop is 21, channels 3: want a multiple of 2, and 1 or 3"),
        ({"low": "test_low"}, "has no small one: want equal names in both folders"),
        ({"test": "nowhere"}, "which does not exist: want a folder with pictures"),
        ({"loader": Loader(memory=0)}, "data.loader.memory is 0: train wants more megabytes"),
        ({"test_low": "test_low"}, "want data.test beside it"),
    ],
)
def test_what_does_not_fit_is_one_plain_line(folder, change, words):
    paths = {key: str(folder / value) if isinstance(value, str) else value for key, value in change.items()}
    with pytest.raises(UserError, match=words.replace(".", r"\.")) as caught:
        LargePictures(
            **{"root": str(folder / "high"), "degradation": degradation.Bicubic(2), "crop": 20, **paths}
        ).rows("train")
    assert "\n" not in str(caught.value)


def test_wrong_degradations_are_refused():
    for make, words in (
        (lambda: degradation.Bicubic(17), "data.degradation.scale is 17: want at most 16"),
        (lambda: degradation.Blur((2, 1)), "data.degradation.sigma is .*the lower first"),
        (lambda: degradation.Chain([]), "steps is empty"),
    ):
        with pytest.raises(UserError, match=words):
            make()
    with pytest.raises(UserError, match="Jpeg wants 1 or 3 of 256"):
        degradation.Jpeg()(torch.zeros(1, 1, 8, 8, dtype=torch.uint8), 17, Draws(0, 0, torch.zeros(1)))
