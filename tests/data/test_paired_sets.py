"""Pairs in files: halves, two folders, a table; label maps by palette, by hand or found, with a JPEG's noise."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_gen.data.pair_table import TablePairs
from lightning_gen.data.pairs import FolderPairs, SideBySide
from lightning_gen.data.palette import find_palette
from lightning_gen.data.sides import LabelMap, Photo, read_as
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec, as_pictures, label_map

PALETTE = ((0, 0, 220), (0, 60, 255), (255, 160, 0), (170, 0, 0))


def _classes(seed, side=32):
    """Blocks of 8 pixels, each of one class."""
    blocks = np.random.default_rng(seed).integers(len(PALETTE), size=(side // 8, side // 8))
    return blocks.repeat(8, 0).repeat(8, 1)


def _coloured(classes):
    return Image.fromarray(np.array(PALETTE, np.uint8)[classes])


def _as_jpeg(picture, quality=75):
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return Image.open(stream)


def _photo(seed, side=32):
    return Image.fromarray(np.random.default_rng(100 + seed).integers(256, size=(side, side, 3), dtype=np.uint8))


@pytest.fixture
def folders(tmp_path):
    for i in range(5):
        for name, picture in ((f"maps/{i}.png", _coloured(_classes(i))), (f"photos/sub/{i}.jpg", _photo(i))):
            path = tmp_path / name.replace("sub/", "")
            path.parent.mkdir(exist_ok=True)
            picture.save(path)
    return tmp_path


def test_a_label_map_keeps_its_classes_through_a_jpeg():
    for given in (LabelMap(PALETTE), LabelMap()):
        given.learn([_as_jpeg(_coloured(_classes(i))) for i in range(8)])
        assert len(given.colours) == len(PALETTE)
        order = [int(np.abs(np.array(given.colours) - colour).sum(1).argmin()) for colour in PALETTE]
        for seed in range(3):
            image = given(_as_jpeg(_coloured(_classes(seed))), 32, 32, "x")
            assert image.shape == (4, 32, 32)
            assert torch.equal(image.sum(0), torch.ones(32, 32))
            wanted = torch.tensor(order)[torch.from_numpy(_classes(seed))]
            inner = (torch.arange(32) % 8 > 1) & (torch.arange(32) % 8 < 6)  # a JPEG mixes the colours of borders
            assert torch.equal(label_map(image[None])[0][inner][:, inner], wanted[inner][:, inner])


def test_a_map_is_drawn_and_read_back_the_same():
    one_hot = LabelMap(PALETTE)(_coloured(_classes(0)), 32, 32, "x")[None]
    for spec, image in (
        (ImageSpec(4, 32, 32, levels=2, palette=PALETTE), one_hot),
        (ImageSpec(1, 32, 32, levels=4, palette=PALETTE), label_map(one_hot)[:, None].to(torch.uint8)),
    ):
        drawn = as_pictures(image, spec)
        assert torch.equal(drawn[0].permute(1, 2, 0), torch.from_numpy(np.array(_coloured(_classes(0)))))
        picture = Image.fromarray(drawn[0].permute(1, 2, 0).numpy())
        assert torch.equal(read_as(picture, spec, "x")[None], image)
        assert ImageSpec.from_dict(spec.as_dict()) == spec
        assert not spec.fits(ImageSpec(*spec.shape, spec.levels))


def test_what_is_no_label_map_is_refused_in_one_line():
    with pytest.raises(UserError, match=r"x.png has the colour \(0, 255, 0\); 100 % of its areas are far from all 4"):
        LabelMap(PALETTE)(Image.new("RGB", (16, 16), (0, 255, 0)), 16, 16, "x.png")
    gradient = Image.fromarray(np.linspace(0, 255, 4096).reshape(64, 64).astype(np.uint8)).convert("RGB")
    with pytest.raises(UserError, match="more than 3 colours"):
        find_palette([gradient], 3)
    for palette, line in (
        ([[0, 0, 0]], "has 1 colours: want 2 to 256"),
        ([[0, 0, 0], [0, 0, 0]], "one colour twice"),
        ([[0, 0, 0], [0, 300, 0]], r"\[0, 300, 0\]: want three numbers, 0 to 255"),
    ):
        with pytest.raises(UserError, match=line):
            LabelMap(palette)


def test_two_folders_and_a_table_are_the_same_pairs(folders):
    rows = ["source,image,split", *(f"maps/{i}.png,photos/{i}.jpg,train" for i in range(5))]
    (folders / "pairs.csv").write_text("\n".join(rows) + "\n")
    read = {"size": [16, 24], "read_source": LabelMap(PALETTE), "read_image": Photo(1)}
    table = TablePairs(str(folders / "pairs.csv"), **read)
    both = FolderPairs(str(folders / "maps"), str(folders / "photos"), **read)
    assert (both.name, table.name) == ("maps_to_photos", "pairs")
    for data in (both, table):
        assert (data.spec.shape, data.spec.source.shape) == ((1, 16, 24), (4, 16, 24))
        assert [data.size(split) for split in ("train", "val", "test")] == [3, 1, 1]
        for split in ("train", "val", "test"):
            for source, image in zip(data.splits[split]["source"], data.splits[split]["image"], strict=True):
                same = [
                    i for i in range(5) if torch.equal(LabelMap(PALETTE)(_coloured(_classes(i)), 16, 24, ""), source)
                ]
                stored = Image.open(folders / f"photos/{same[0]}.jpg")
                assert torch.equal(Photo(1)(stored, 16, 24, ""), image)


def test_wrong_folders_and_tables_are_one_plain_line(folders):
    maps, photos = str(folders / "maps"), str(folders / "photos")
    (folders / "photos" / "9.png").write_bytes((folders / "maps" / "0.png").read_bytes())
    with pytest.raises(UserError, match=r"1 picture has no partner, such as 9 of .*photos, which .*maps lacks"):
        FolderPairs(maps, photos)
    (folders / "photos" / "9.png").rename(folders / "photos" / "0.png")
    with pytest.raises(UserError, match=r"photos holds 0.jpg and 0.png: want one picture of each name"):
        FolderPairs(maps, photos)
    with pytest.raises(UserError, match=r"nowhere, which does not exist"):
        FolderPairs(maps, str(folders / "nowhere"))
    for text, line in (
        ("source,image\nmaps/0.png,photos/9.jpg\n", "line 2: there is no picture photos/9.jpg"),
        ("source,image\nmaps/0.png,../x.png\n", r"line 2: ../x.png leads out of the folder"),
        ("a,b\n1,2\n", "line 2: want source, image, and split"),
        ("source,image,split\nmaps/0.png,photos/0.jpg,test\n", "lists no pair to train on"),
        ("source,image\n", "lists no pair to train on"),
    ):
        (folders / "pairs.csv").write_text(text)
        with pytest.raises(UserError, match=line):
            TablePairs(str(folders / "pairs.csv"))
    with pytest.raises(UserError, match="which is no file"):
        TablePairs(str(folders / "none.csv"))


def test_halves_may_be_a_map_and_a_photo(tmp_path):
    for i in range(4):
        whole = Image.new("RGB", (64, 32))
        whole.paste(_photo(i), (0, 0))
        whole.paste(_coloured(_classes(i)), (32, 0))
        whole.save(tmp_path / f"{i}.png")
    data = SideBySide(str(tmp_path), size=32, read_source=LabelMap())
    assert data.spec.source.palette == tuple(sorted(PALETTE))
    assert data.spec.shape == (3, 32, 32)
    assert data.splits["train"]["source"].shape == (2, 4, 32, 32)
