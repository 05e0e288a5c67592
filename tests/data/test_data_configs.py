"""Every YAML of configs/data builds its set or says what is missing; a wrong set is one line of the command."""

import re
from pathlib import Path

import pytest
import yaml
from picture_files import write_pictures

from lightning_gen.config.cli import main
from lightning_gen.config.loading import load_data
from lightning_gen.contracts import ImageData
from lightning_gen.errors import UserError

CONFIGS = sorted(Path("configs/data").glob("*.yaml"))
FIT = ["fit", "-c", "configs/vae/vae.yaml", "--trainer.accelerator", "cpu"]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_config_builds_its_set_or_says_what_is_missing(config, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # no test reaches for the network
    assert config.read_text().startswith("# ")
    data, message = _load(config)
    if data is None:  # the set's files or its library are not here
        assert re.search(r"data[ .].*: want ", message)
        assert "\n" not in message
    else:
        assert data.name


def _load(config: Path) -> tuple[ImageData | None, str]:
    try:
        return load_data(config), ""
    except UserError as error:
        return None, str(error)


def test_every_set_has_a_config():
    used = {yaml.safe_load(path.read_text())["data"]["class_path"].rpartition(".")[2] for path in CONFIGS}
    sets = {
        "LargePictures",
        "SamplePhotos",
        "DigitPairs",
        "Shapes",
        "Digits",
        "ToyWorld",
        "ImageFolder",
        "ClassFolders",
        "HubSet",
        "ShardedImages",
        "TwoFolders",
    }
    sets |= {
        "TwoClasses",
        "HiddenPairs",
        "ShapeDomains",
        "MNIST",
        "FashionMNIST",
        "CIFAR10",
        "SVHN",
        "ImageNet32",
        "ImageNet64",
        "CelebA",
        "LSUN",
    }
    assert sets <= used


@pytest.mark.parametrize(
    ("config", "options", "words"),
    [
        ("folder", [], "does not exist: want a folder with pictures (png, jpg, bmp, gif, webp, tif, ppm, pgm)"),
        ("mnist", [], "without mnist: want MNIST/raw/"),
        ("shards", [], "where no index.json is: want a folder or URL that lightning-gen pack has written"),
        ("celeba", [], "without celeba: want celeba/ with img_align_celeba"),
        ("folder", ["--data.init_args.size", "0"], "data.size is 0: want 1 or more pixels"),
    ],
)
def test_a_set_that_is_not_there_ends_in_one_line(config, options, words, tmp_path, capsys):
    arguments = ["--data.init_args.root", str(tmp_path / "none"), "--run.root", str(tmp_path / "runs"), *options]
    assert main([*FIT, "-c", f"configs/data/{config}.yaml", *arguments]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert words in line
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("memory", [0, 64])
def test_a_damaged_picture_ends_the_command_in_one_line(memory, tmp_path, capsys):
    write_pictures(tmp_path / "set", [f"{i}.png" for i in range(12)], (8, 8))
    for path in (tmp_path / "set").iterdir():
        path.write_bytes(path.read_bytes()[:-30] if path.stem != "0" else path.read_bytes())
    arguments = ["--data.init_args.root", str(tmp_path / "set"), "--data.init_args.loader.memory", str(memory)]
    arguments += ["--data.init_args.size", "8", "--data.init_args.batch_size", "4"]
    arguments += ["--run.root", str(tmp_path / "runs"), "--run.images", "8"]
    assert main([*FIT, "-c", "configs/data/folder.yaml", *arguments]) == 2
    line = [line for line in capsys.readouterr().err.splitlines() if line.strip()][-1]
    assert "cannot be decoded" in line
    assert (tmp_path / "runs").exists() == (memory == 0)
