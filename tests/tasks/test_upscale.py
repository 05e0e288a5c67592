"""upscale: every kind and size of picture, no seams, weights between two runs, one line for what is wrong."""

import importlib.util

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_gen.config.cli import main
from lightning_gen.config.loading import load_module
from lightning_gen.data.decode import open_picture
from lightning_gen.tasks.upscale import Enlarger, blend

WIDTH = ["--model.init_args.generator.init_args.width=4", "--run.images", "16", "--evaluation.samples", "0"]


def _picture(seed, height, width, channels=3):
    pixels = np.random.default_rng(seed).integers(256, size=(height, width, channels), dtype=np.uint8)
    return Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)


@pytest.fixture(scope="module")
def run(fit):
    return fit("super_resolution/srresnet", *WIDTH)


@pytest.fixture(scope="module")
def digits(fit):
    """A run of grey pictures of few levels."""
    data = ["--data", "lightning_gen.data.embedded_pictures.DigitPairs", "--evaluation.extractor", "null"]
    return fit("super_resolution/srresnet", *data, *WIDTH)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    _picture(0, 21, 33).save(root / "odd.png")
    _picture(1, 1, 1).save(root / "pixel.png")
    _picture(2, 40, 1).save(root / "sub" / "line.bmp")
    _picture(3, 9, 12, 1).save(root / "grey.png")
    _picture(4, 9, 12, 4).save(root / "clear.png")
    Image.merge("LA", [_picture(5, 9, 12, 1), _picture(6, 9, 12, 1)]).save(root / "grey_clear.png")
    _picture(7, 16, 16).convert("CMYK").save(root / "print.jpg")
    Image.fromarray(np.full((12, 18), 40000, np.uint16)).save(root / "deep.png")
    (root / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    return root


def test_every_kind_of_picture_becomes_larger(run, folder, tmp_path, capsys):
    out, panels = tmp_path / "out", tmp_path / "panels"
    assert main(["upscale", str(run), str(folder), "--out", str(out), "--panels", str(panels)]) == 0
    said = capsys.readouterr()
    assert "8 pictures, x4, 1 left out" in said.out
    assert "left out: picture broken.png cannot be decoded" in said.err
    found = {str(p.relative_to(out)): Image.open(p) for p in out.rglob("*.png")}
    sizes = {name: (picture.size, picture.mode) for name, picture in found.items()}
    assert sizes == {
        "odd.png": ((132, 84), "RGB"),
        "pixel.png": ((4, 4), "RGB"),
        "sub/line.png": ((4, 160), "RGB"),
        "grey.png": ((48, 36), "L"),
        "clear.png": ((48, 36), "RGBA"),
        "grey_clear.png": ((48, 36), "LA"),
        "print.png": ((64, 64), "RGB"),
        "deep.png": ((72, 48), "L"),
    }
    alpha = Image.open(folder / "clear.png").getchannel("A").resize((48, 36), Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(found["clear.png"].getchannel("A")), np.asarray(alpha))
    assert abs(float(np.asarray(found["deep.png"]).mean()) - 40000 / 257) < 20
    assert Image.open(panels / "odd.png").size == (132 + 4 + 132, 84)
    assert main(["upscale", str(run), str(folder), "--out", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_tiles_are_the_whole_picture(run):
    module = load_module(run / "checkpoints" / "last.ckpt")
    for parameter in module.generator.tail.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.2)  # what the network adds must not be small
    source = torch.randint(256, (1, 3, 150, 131), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    enlarger = Enlarger(module, 104)
    assert enlarger.tiles.overlap == 4 * module.radius == 52
    with torch.no_grad():
        whole = module.translate({"source": source})
    tiled = enlarger.enlarge(source)
    assert tiled.shape == (1, 3, 600, 524)
    assert (tiled.int() - whole.int()).abs().max() <= 1  # a rounding
    assert float((tiled.float() - whole.float()).abs().mean()) / 255 < 1e-3 / 255


def test_grey_models_keep_colours_and_palettes_of_levels(digits, tmp_path):
    _picture(0, 8, 8).resize((16, 16), Image.Resampling.BILINEAR).save(tmp_path / "a.png")
    assert main(["upscale", str(digits), str(tmp_path / "a.png"), "--out", str(tmp_path / "out")]) == 0
    before, after = (Image.open(p) for p in (tmp_path / "a.png", tmp_path / "out" / "a.png"))
    assert (after.size, after.mode) == ((32, 32), "RGB")
    chroma = [np.asarray(x.convert("YCbCr").resize((4, 4))).astype(int)[..., 1:] for x in (before, after)]
    assert np.abs(chroma[0] - chroma[1]).mean() < 20


def test_weights_between_two_runs(run, fit, tmp_path, capsys):
    other = fit("super_resolution/srresnet", *WIDTH, "--seed_everything", "1")
    first, second, middle = (load_module(r / "checkpoints" / "last.ckpt") for r in (run, other, run))
    blend(middle, second, 0.25)
    for name, value in middle.generator.state_dict().items():
        ends = [module.generator.state_dict()[name] for module in (first, second)]
        assert torch.allclose(value, 0.75 * ends[0] + 0.25 * ends[1], atol=1e-6)
    _picture(0, 8, 8).save(tmp_path / "a.png")
    words = ["upscale", str(run), str(tmp_path / "a.png"), "--out", str(tmp_path / "out"), "--blend", str(other)]
    assert main([*words, "--amount", "1"]) == 0
    pixels = torch.from_numpy(np.array(Image.open(tmp_path / "out" / "a.png"))).permute(2, 0, 1)
    image = open_picture((tmp_path / "a.png").read_bytes(), "a")
    with torch.no_grad():
        wanted = Enlarger(second).picture(image)
    assert np.array_equal(pixels.permute(1, 2, 0).numpy(), np.asarray(wanted))
    assert main([*words, "--amount", "2"]) == 2
    assert "amount" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--tile", "60"], "--tile is 60: want a multiple of 8 pixels, 64 or more"),
        (["--blend", "nowhere"], "run nowhere does not exist"),
    ],
)
def test_what_is_wrong_is_one_plain_line(run, more, words, tmp_path, capsys):
    _picture(0, 8, 8).save(tmp_path / "a.png")
    assert main(["upscale", str(run), str(tmp_path / "a.png"), "--out", str(tmp_path / "out"), *more]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(lines) == 1
    assert words in lines[0]
    assert not (tmp_path / "out").exists()


def test_other_models_do_not_enlarge(fit, tmp_path, capsys):
    small = ["--data.init_args.size", "16", "--data.init_args.images", "32", *WIDTH]
    run = fit("translation/pix2pix", *small, "--model.init_args.discriminator.init_args.width=4")
    _picture(0, 8, 8).save(tmp_path / "a.png")
    assert main(["upscale", str(run), str(tmp_path / "a.png"), "--out", str(tmp_path / "out")]) == 2
    assert "Pix2Pix does not enlarge pictures: want a model of super-resolution" in capsys.readouterr().err


def test_filters_are_baselines_on_whole_pictures(tmp_path, capsys):
    words = [
        "baselines",
        "configs/data/sample_photos.yaml",
        "--root",
        str(tmp_path),
        "--split",
        "val",
        "--samples",
        "0",
    ]
    assert main(words) == 0
    said = capsys.readouterr().out
    values = {line.split()[0].rpartition("-")[2][:-1]: float(line.split()[-1]) for line in said.splitlines()}
    assert set(values) == {"nearest_pixel", "bilinear", "bicubic", "lanczos"}
    assert values["nearest_pixel"] < values["bilinear"] < values["bicubic"] < values["lanczos"]


def test_an_onnx_file_takes_any_size(run, tmp_path, capsys):
    if not all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime", "onnxscript")):
        pytest.skip("the extra onnx is not installed")
    assert main(["export", str(run), "--out", str(tmp_path / "shared"), "--onnx"]) == 0
    assert "any height and width" in capsys.readouterr().out
    import onnxruntime

    session = onnxruntime.InferenceSession(str(tmp_path / "shared" / "model.onnx"), providers=["CPUExecutionProvider"])
    [image] = session.run(["image"], {"source": np.zeros((1, 3, 31, 17), np.float32)})
    assert image.shape == (1, 3, 124, 68)
