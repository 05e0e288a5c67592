"""translate: names, sizes, sub-folders kept, tiles without seams, nothing overwritten, one line for what is wrong."""

import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_gen import load
from lightning_gen.config.cli import main
from lightning_gen.data.decode import open_picture
from lightning_gen.errors import UserError
from lightning_gen.tasks.common.tiles import Tiles

TINY = ["--model.init_args.generator.init_args.width=4", "--model.init_args.discriminator.init_args.width=4"]
PHOTOS = "{class_path: lightning_gen.data.pairs.SideBySide, init_args: {root: %s, size: %d, batch_size: 4}}"


def _picture(seed, height, width, channels=3):
    pixels = np.random.default_rng(seed).integers(256, size=(height, width, channels), dtype=np.uint8)
    return Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)


def _pairs(folder, size):
    folder.mkdir()
    for i in range(6):
        _picture(i, size, 2 * size).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def photos(fit, tmp_path_factory):
    """A run from photos to photos."""
    folder = _pairs(tmp_path_factory.mktemp("data") / "pairs", 16)
    return fit("translation/pix2pix", "--data", PHOTOS % (folder, 16), *TINY, "--run.images", "4")


@pytest.fixture(scope="module")
def maps(fit):
    """A run from label maps of shapes to pictures."""
    return fit("translation/pix2pix", "--data.init_args.size", "16", "--data.init_args.images", "32", *TINY)


@pytest.fixture
def folder(tmp_path):
    """Pictures of many kinds, and files that are none."""
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    _picture(0, 20, 31).save(root / "a.png")
    _picture(1, 16, 16, 1).save(root / "a.jpg")
    _picture(2, 9, 40).save(root / "sub" / "b.bmp")
    Image.fromarray(np.full((12, 18), 40000, np.uint16)).save(root / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    _picture(3, 16, 24).save(root / "turned.jpg", exif=exif)
    (root / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    (root / "notes.txt").write_text("no picture")
    return root


def _run(*words):
    return main(["translate", *map(str, words)])


def test_names_and_sizes_stay_and_damage_is_said(photos, folder, tmp_path, capsys):
    out, page = tmp_path / "out", tmp_path / "page.html"
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    assert _run(photos, folder, "--out", out, "--page", page, "--targets", folder) == 0
    said = capsys.readouterr()
    assert "left out: picture broken.png cannot be decoded" in said.err
    assert "5 pictures translated, 1 left out" in said.out
    sizes = {str(path.relative_to(out)): Image.open(path).size for path in out.rglob("*.*")}
    assert sizes == {
        "a.png.png": (31, 20),
        "a.jpg.png": (16, 16),
        "sub/b.png": (40, 9),
        "deep.png": (18, 12),
        "turned.png": (16, 24),
    }
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before
    text = page.read_text()
    assert text.count("<tr>") == 6
    assert "http" not in text
    assert "sub/b.bmp" in text


def test_a_picture_is_read_as_the_data_reads_it(photos, folder, tmp_path):
    """The file's output is the model's output for the same pixels; also from Python."""
    assert _run(photos, folder / "turned.jpg", "--out", tmp_path / "out") == 0
    made = torch.from_numpy(np.array(Image.open(tmp_path / "out" / "turned.png"))).permute(2, 0, 1)
    source = np.array(open_picture((folder / "turned.jpg").read_bytes(), ""))
    run = load(photos)
    batch = {"source": torch.from_numpy(source).permute(2, 0, 1)[None]}
    assert torch.equal(run.translate(batch).tensor[0], made)
    [path] = run.translate_files(folder / "turned.jpg", tmp_path / "again")
    assert path.read_bytes() == (tmp_path / "out" / "turned.png").read_bytes()


def test_label_maps_are_read_by_their_palette(maps, tmp_path, capsys):
    run = load(maps)
    batch = run.batch("test", 2)
    palette = np.array(run.model.spec.source.palette, np.uint8)
    (tmp_path / "maps").mkdir()
    for i, source in enumerate(batch["source"]):
        Image.fromarray(palette[source[0].numpy()]).save(tmp_path / "maps" / f"{i}.png")
    assert _run(maps, tmp_path / "maps", "--out", tmp_path / "out") == 0
    for i, wanted in enumerate(run.translate(batch).tensor):
        made = torch.from_numpy(np.array(Image.open(tmp_path / "out" / f"{i}.png"))).permute(2, 0, 1)
        assert torch.equal(made, wanted)
    capsys.readouterr()
    Image.new("RGB", (16, 16), (1, 90, 200)).save(tmp_path / "far.png")
    assert _run(maps, tmp_path / "far.png", "--out", tmp_path / "far") == 2
    error = capsys.readouterr().err.splitlines()
    assert "far from all 9 colours of the palette" in error[-1]
    assert not (tmp_path / "far").exists()


def test_tiles_are_the_whole_picture_where_the_receptive_field_allows():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(2, 3, 17, 17, generator=generator) / 17  # sees 8 pixels to each side

    def convolve(source):
        x = torch.nn.functional.conv2d(source.float(), weight, padding=8)
        return x.abs().round().clamp(0, 255).to(torch.uint8)

    source = torch.randint(256, (1, 3, 150, 203), generator=generator, dtype=torch.uint8)
    whole = convolve(source)
    assert torch.equal(Tiles(1024, 256)(source, convolve, (1, 1)), whole)
    tiled = Tiles(64, 32)(source, convolve, (1, 1))
    assert tiled.shape == whole.shape
    assert int((tiled.int() - whole.int()).abs().max()) <= 1  # sums of floats in another order
    narrow = Tiles(64, 4)(source, convolve, (1, 1))
    assert int((narrow.int() - whole.int()).abs().max()) > 8, "too small an overlap shows"

    def enlarge(source):
        return source.repeat_interleave(2, 2).repeat_interleave(3, 3)

    assert torch.equal(Tiles(64, 32)(source, enlarge, (2, 3)), enlarge(source))
    with pytest.raises(UserError, match="want a multiple of 4, at most half"):
        Tiles(64, 40)


def test_large_pictures_go_through_in_tiles(photos, tmp_path):
    (tmp_path / "in").mkdir()
    _picture(0, 100, 150).save(tmp_path / "in" / "large.png")
    assert _run(photos, tmp_path / "in", "--out", tmp_path / "out", "--tile", "64") == 0
    assert Image.open(tmp_path / "out" / "large.png").size == (150, 100)


def test_a_stochastic_model_gives_several_outputs(fit, folder, tmp_path, capsys):
    data = _pairs(tmp_path / "pairs", 64)
    noisy = "{class_path: lightning_gen.nets.gan.noisy_unet.NoisyUNet, init_args: {width: 4}}"
    words = ["--data", PHOTOS % (data, 64), *TINY[1:], "--run.images", "4", "--model.init_args.generator", noisy]
    run = fit("translation/pix2pix", *words)
    for out in ("one", "two"):
        assert _run(run, folder / "a.png", "--out", tmp_path / out, "--outputs", "3") == 0
    files = [sorted((tmp_path / out).iterdir()) for out in ("one", "two")]
    assert [path.name for path in files[0]] == ["a-1.png", "a-2.png", "a-3.png"]
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]
    assert len({path.read_bytes() for path in files[0]}) == 3
    capsys.readouterr()


def test_the_inverse_of_a_model_translates_back(fit, tmp_path):
    sizes = ["--data.init_args.size=16", "--data.init_args.images=16", "--model.init_args.generator.init_args.blocks=1"]
    run = fit("translation/cyclegan", *TINY, *sizes, "--run.images", "4", "--evaluation.split", "test")
    picture = _picture(5, 21, 34)
    picture.save(tmp_path / "a.png")
    assert _run(run, tmp_path / "a.png", "--out", tmp_path / "back", "--back") == 0
    made = torch.from_numpy(np.array(Image.open(tmp_path / "back" / "a.png"))).permute(2, 0, 1)
    model = load(run).model
    with torch.no_grad():
        wanted = model.translate_back({"image": torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]})
    assert torch.equal(made, wanted[0])
    text = (run / "evaluations.jsonl").read_text()
    assert all(name in text for name in ('"cycle_l1"', '"cycle_back_jpeg_l1"', '"attribute_accuracy"'))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["{in}/nowhere"], "nowhere do not exist: want a folder with pictures"),
        (["{empty}"], "empty hold no picture"),
        (["{in}", "--out", "{in}/made"], "lies in the folder of the pictures"),
        (["{in}", "--out", "{in}"], "lies in the folder of the pictures"),
        (["{in}", "--out", "{in}/a.png"], "is a file: want a folder"),
        (["{in}", "--out", "{taken}"], "exists already: want --out without it"),
        (["{in}", "--back"], "Pix2Pix has no inverse, want a model such as CycleGAN"),
        (["{in}", "--outputs", "2"], "this Pix2Pix has one output per source, want 1"),
        (["{in}", "--tile", "100"], "--tile is 100: want a multiple of 64"),
        (["{in}/broken.png"], "none of 1 pictures could be read"),
        (["{in}", "--page", "{in}/a.png"], "want a name that ends in .html"),
    ],
)
def test_what_is_wrong_is_one_plain_line_and_nothing_is_written(photos, folder, tmp_path, capsys, words, line):
    (tmp_path / "taken" / "sub").mkdir(parents=True)
    (tmp_path / "taken" / "sub" / "b.png").write_text("mine")
    (tmp_path / "empty").mkdir()
    places = {"in": folder, "empty": tmp_path / "empty", "taken": tmp_path / "taken"}
    given = [word.format(**places) for word in words]
    before = set(tmp_path.rglob("*"))
    capsys.readouterr()
    out = [] if "--out" in words else ["--out", tmp_path / "out"]
    assert _run(photos, *given, *out) == 2
    error = capsys.readouterr().err
    assert line in error.splitlines()[-1]
    assert "Traceback" not in error
    assert set(tmp_path.rglob("*")) == before


def test_a_model_that_does_not_translate_is_refused(vae, folder, tmp_path, capsys):
    assert _run(vae, folder, "--out", tmp_path / "out") == 2
    assert "VAE does not translate: want a model of pairs" in capsys.readouterr().err


def test_pictures_of_a_zip_file_are_translated_too(photos, folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as file:
        for name in ("a.png", "sub/b.bmp"):
            file.write(folder / name, name)
    assert _run(photos, tmp_path / "in.zip", "--out", tmp_path / "out") == 0
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.write(folder / "a.png", "../escaped.png")
    assert _run(photos, tmp_path / "evil.zip", "--out", tmp_path / "out2") == 2
    assert not (tmp_path / "out2").exists()
    assert not (tmp_path / "escaped.png").exists()
    assert {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.png")} == {"a.png", "sub/b.png"}
