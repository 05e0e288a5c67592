"""Drawing from a trained run: labels, truncation, seeds, ways between noises, and plain lines where a model cannot."""

import pytest
import torch
from PIL import Image

from lightning_gen.config.cli import main
from lightning_gen.tasks.common.vectors import slerp, truncated_normal


def _draw(run, path, *arguments):
    assert main(["sample", str(run), "--out", str(path), *map(str, arguments)]) == 0
    return path.read_bytes()


def test_labels_seeds_and_truncation(cgan, tmp_path):
    out = tmp_path / "a.png"
    assert _draw(cgan, out, "--n", 4, "--label", 3) == _draw(cgan, out, "--n", 4, "--label", 3, 3)
    assert _draw(cgan, out, "--n", 4, "--label", 3) != _draw(cgan, out, "--n", 4, "--label", 5)
    assert _draw(cgan, out, "--n", 70, "--label", 1, 2)
    assert Image.open(out).size == (8 * 66 + 2, 9 * 66 + 2)
    both = _draw(cgan, out, "--seeds", 7, 9)
    assert both == _draw(cgan, out, "--seeds", 7, 9) != _draw(cgan, out, "--seeds", 9, 7)
    assert _draw(cgan, out, "--n", 4, "--truncation", 0.5) != _draw(cgan, out, "--n", 4, "--truncation", 2)


def test_styles_are_truncated_towards_their_mean_and_noise_is_fixed_or_drawn(axes_run, tmp_path):
    out = tmp_path / "a.png"
    mean = _draw(axes_run, out, "--n", 2, "--truncation", 0)
    with Image.open(out) as picture:  # both are the picture of the mean style
        assert picture.crop((2, 2, 66, 66)).tobytes() == picture.crop((68, 2, 132, 66)).tobytes()
    assert mean != _draw(axes_run, out, "--n", 2, "--truncation", 1)
    assert _draw(axes_run, out, "--n", 2, "--temperature", 0.5) != mean
    ways = _draw(axes_run, out, "--interpolate", 2, "--steps", 3, "--truncation", 0.5)
    assert ways == _draw(axes_run, out, "--interpolate", 2, "--steps", 3, "--temperature", 0.5)
    drawn = _draw(axes_run, out, "--n", 2, "--drawn-noise")
    assert drawn == _draw(axes_run, out, "--n", 2, "--drawn-noise")


def test_a_prefix_of_many_samples_is_that_of_few(cgan, tmp_path):
    pictures = {n: tmp_path / f"{n}.png" for n in (8, 16)}
    for n, path in pictures.items():
        _draw(cgan, path, "--n", n, "--truncation", 1, "--label", 0, 1, 2)
    few, many = (Image.open(path) for path in pictures.values())
    assert few.tobytes() == many.crop((0, 0, *few.size)).tobytes()


@pytest.mark.parametrize("which", ["gan", "cgan", "vae"])
def test_ways_as_strips_and_as_an_animation(which, tmp_path, request):
    run = request.getfixturevalue(which)
    _draw(run, tmp_path / "ways.png", "--interpolate", 3, "--steps", 5)
    assert Image.open(tmp_path / "ways.png").size == (5 * 66 + 2, 3 * 66 + 2)
    _draw(run, tmp_path / "ways.gif", "--interpolate", 3, "--steps", 5, "--gif")
    with Image.open(tmp_path / "ways.gif") as animation:
        assert animation.size == (3 * 66 + 2, 66 + 2)
        assert 1 < animation.n_frames <= 8  # equal frames in a row are one


def test_truncated_noise_is_the_normal_within_its_bound():
    z = truncated_normal(20000, 2, 1.0, torch.Generator().manual_seed(0))
    assert z.abs().max() <= 1
    assert z.mean().item() == pytest.approx(0, abs=0.01)
    assert z.var().item() == pytest.approx(0.2911, abs=0.005)  # 1 - 2 phi(1) / (2 Phi(1) - 1)
    free = truncated_normal(20000, 2, float("inf"), torch.Generator().manual_seed(0))
    assert free.var().item() == pytest.approx(1, abs=0.03)


def test_great_circles_keep_the_length():
    a, b = torch.nn.functional.normalize(torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0)), dim=2)
    assert torch.allclose(slerp(a, b, 0.0), a, atol=1e-6)
    assert torch.allclose(slerp(a, b, 1.0), b, atol=1e-6)
    assert torch.allclose(slerp(a, b, 0.3).norm(dim=1), torch.ones(6), atol=1e-5)
    assert torch.allclose(slerp(a, a, 0.5), a, atol=1e-6)


@pytest.mark.parametrize(
    ("which", "arguments", "words"),
    [
        ("gan", ["--label", "3"], "--label 3 given: this GAN is not conditioned on labels"),
        ("cgan", ["--label", "10"], "--label 10 given: want 0 to 9"),
        ("cgan", ["--label", "-1"], "want a whole number, 0 to"),
        ("vae", ["--truncation", "1"], "--truncation 1 given: VAE does not generate from a Gaussian noise vector"),
        ("gan", ["--truncation", "0"], "--truncation 0 given: want a number above 0"),
        ("axes_run", ["--truncation", "1.5"], "--truncation 1.5 given: StyleGAN2 truncates its styles, want 0 to 1"),
        ("gan", ["--drawn-noise"], "--drawn-noise given: want it of a StyleGAN"),
        ("gan", ["--truncation", "1", "--temperature", "2"], "--temperature 2 and --truncation 1 given: want one"),
        ("gan", ["--gif"], "--gif given: want it with --interpolate"),
        ("gan", ["--interpolate", "2", "--steps", "1"], "--steps is 1: want 2 or more"),
        ("gan", ["--interpolate", "2", "--seeds", "1"], "--interpolate and --seeds given: want one"),
    ],
)
def test_what_a_model_cannot_is_one_plain_line(which, arguments, words, tmp_path, capsys, request):
    run = request.getfixturevalue(which)
    capsys.readouterr()
    assert main(["sample", str(run), "--out", str(tmp_path / "x.png"), *arguments]) == 2
    line = capsys.readouterr().err
    assert words in line
    assert line.count("\n") == 1
    assert not (tmp_path / "x.png").exists()
