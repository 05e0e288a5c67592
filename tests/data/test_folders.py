"""Picture folders: splits, zip files, decoding, fingerprint, resume of the streamed loader, and every message."""

import itertools
import shutil

import numpy as np
import pytest
import torch
from picture_files import write_pictures, zip_folder
from PIL import Image

from lightning_gen.data.augment import Chain, HorizontalFlip, RandomShift
from lightning_gen.data.files import Loader
from lightning_gen.data.folders import ClassFolders, ImageFolder
from lightning_gen.data.levels import Threshold
from lightning_gen.data.sources import Folder
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec

SPLITS = ("train", "val", "test")


@pytest.fixture
def pictures(tmp_path):
    """20 grey 6x6 pictures in 2 class folders."""
    names = [f"{kind}/{i:02}.png" for kind in ("cat", "dog") for i in range(10)]
    return write_pictures(tmp_path / "pets", names)


def _all(data, split):
    return torch.cat([batch["image"] for batch in data.batches(split, 4)])


def test_spec_is_known_at_construction_and_pixels_are_those_of_the_files(pictures):
    data = ClassFolders(str(pictures))
    assert data.spec == ImageSpec(1, 6, 6, 256, classes=2)
    assert data.class_names == ("cat", "dog")
    assert [data.size(split) for split in SPLITS] == [16, 2, 2]
    stored = {np.asarray(Image.open(p)).tobytes(): p.parent.name for p in pictures.rglob("*.png")}
    seen = set()
    for split in SPLITS:
        for batch in data.batches(split, 5):
            data.spec.check(batch["image"])
            for image, label in zip(batch["image"], batch["label"], strict=True):
                assert stored[image.numpy().tobytes()] == data.class_names[label]
                seen.add(image.numpy().tobytes())
    assert seen == set(stored)  # every picture in exactly one split


def test_streamed_and_in_memory_rows_are_the_same(pictures):
    small, large = ClassFolders(str(pictures)), ClassFolders(str(pictures), loader=Loader(0, 3))
    for split in SPLITS:
        assert torch.equal(_all(small, split), _all(large, split))
    assert small.fingerprint == large.fingerprint


def test_a_zip_file_is_the_folder_it_was_made_from(pictures, tmp_path):
    packed = zip_folder(pictures, tmp_path / "pets.zip")
    a, b = ClassFolders(str(pictures)), ClassFolders(str(packed))
    assert a.fingerprint == b.fingerprint
    assert (a.name, b.name) == ("pets", "pets")
    assert all(torch.equal(_all(a, split), _all(b, split)) for split in SPLITS)


def test_splits_follow_names_and_split_seed_alone(pictures):
    first = ImageFolder(str(pictures))
    assert first.fingerprint == ImageFolder(str(pictures), seed=5).fingerprint
    assert first.fingerprint != ImageFolder(str(pictures), split_seed=1).fingerprint
    before = {split: set(_names(first, split)) for split in SPLITS}
    write_pictures(pictures, ["zebra/00.png"])
    after = ImageFolder(str(pictures))
    assert sum(len(before[split] - set(_names(after, split))) for split in SPLITS) <= 2


def test_the_first_pictures_of_a_split_are_a_sample_of_all_classes(tmp_path):
    for split, count in (("train", 40), ("test", 40)):
        write_pictures(tmp_path / split, [f"{kind}/{i}.png" for kind in "ab" for i in range(count // 2)], (2, 2))
    data = ClassFolders(str(tmp_path))
    for split in ("train", "test"):
        assert 3 <= int(next(data.batches(split, 16))["label"].sum()) <= 13


def _names_of(root):
    return Folder(root).names


def _names(data, split):
    return [data.catalogue.source.names[i] for i in data.catalogue.splits[split]]


@pytest.mark.parametrize("packed", ["folders", "zips", "one zip"])
def test_train_val_test_are_taken_where_they_exist(packed, tmp_path):
    root = tmp_path / "set"
    for seed, (split, count) in enumerate({"train": 6, "valid": 2, "test": 3}.items()):
        write_pictures(root / split, [f"a/{i}.png" for i in range(count)], seed=seed)
        if packed == "zips":
            zip_folder(root / split, root / f"{split}.zip")
            shutil.rmtree(root / split)
    place = zip_folder(root, tmp_path / "set.zip") if packed == "one zip" else root
    data = ClassFolders(str(place))
    assert [data.size(split) for split in SPLITS] == [6, 2, 3]
    assert data.class_names == ("a",)


def test_missing_splits_are_cut_from_train(tmp_path):
    write_pictures(tmp_path / "train", [f"{i}.png" for i in range(10)])
    write_pictures(tmp_path / "val", [f"{i}.png" for i in range(3)], seed=1)
    data = ImageFolder(str(tmp_path), share=0.2)
    assert [data.size(split) for split in SPLITS] == [8, 3, 2]


@pytest.mark.parametrize("change", ["pixel", "name", "label"])
def test_the_fingerprint_sees_every_change(pictures, change):
    before = ClassFolders(str(pictures)).fingerprint
    path = pictures / "cat" / "03.png"
    if change == "pixel":
        pixels = np.array(Image.open(path))
        pixels[2, 3] ^= 1
        Image.fromarray(pixels).save(path)
    else:
        path.rename(pictures / {"name": "cat/x.png", "label": "dog/x.png"}[change])
    assert ClassFolders(str(pictures)).fingerprint != before


@pytest.mark.parametrize("options", [{"size": 4}, {"channels": 3}, {"crop": 4}, {"levels": Threshold()}])
def test_what_changes_pixels_changes_the_fingerprint(pictures, options):
    assert ImageFolder(str(pictures), **options).fingerprint != ImageFolder(str(pictures)).fingerprint


@pytest.mark.parametrize("memory", [0, 64])
def test_resume_in_mid_epoch_is_bit_for_bit(pictures, memory):
    def loader():
        augment = Chain([HorizontalFlip(), RandomShift(2)])
        data = ClassFolders(str(pictures), batch_size=3, loader=Loader(memory, 2), augment=augment)
        return data.train_dataloader()

    def stream(loader):
        while True:
            yield from loader

    whole = stream(loader())
    wanted = [next(whole) for _ in range(13)]  # 5 batches an epoch: in the middle of the third
    for cut in (2, 5, 8):
        first = loader()
        part = stream(first)
        for _ in range(cut):
            next(part)
        second = loader()
        second.load_state_dict(first.state_dict())
        rest = stream(second)
        for batch in wanted[cut:]:
            got = next(rest)
            assert torch.equal(got["image"], batch["image"])
            assert torch.equal(got["label"], batch["label"])


def test_resize_keeps_the_middle_and_the_range(tmp_path):
    white = np.full((10, 30), 255, np.uint8)
    white[:, :10] = 0
    for name in "abc":
        Image.fromarray(white).save(tmp_path / f"{name}.png")
    image = _all(ImageFolder(str(tmp_path), size=5), "train")
    assert image.shape[1:] == (1, 5, 5)
    assert int(image[:, :, :, 2:].min()) > 240  # the dark third lies outside the middle square
    larger = _all(ImageFolder(str(tmp_path), size=20, channels=3), "train")
    assert larger.shape[1:] == (3, 20, 20)
    assert _all(ImageFolder(str(tmp_path), crop=8), "train").shape[1:] == (1, 8, 8)


@pytest.mark.parametrize(
    ("mode", "value", "wanted"),
    [
        ("RGBA", (10, 20, 30, 0), [255, 255, 255]),  # transparent lies on white
        ("RGBA", (10, 20, 30, 255), [10, 20, 30]),
        ("LA", (70, 255), [70]),
        ("1", 1, [255]),
        ("P", 0, [0]),  # of greys alone
    ],
)
def test_every_kind_of_picture_becomes_grey_or_rgb(mode, value, wanted, tmp_path):
    for name in "abc":
        Image.new(mode, (2, 2), value).save(tmp_path / f"{name}.png")
    image = _all(ImageFolder(str(tmp_path)), "train")
    assert image[0, :, 0, 0].tolist() == wanted


def test_hidden_and_foreign_files_are_left_out(pictures):
    (pictures / "cat" / "notes.txt").write_text("x")
    (pictures / "cat" / "._00.png").write_bytes(b"x")
    write_pictures(pictures / "__MACOSX", ["00.png"])
    assert sum(ImageFolder(str(pictures)).size(split) for split in SPLITS) == 20


def test_a_link_that_leads_out_is_refused_and_one_inside_is_followed(pictures, tmp_path):
    (pictures / "dog" / "kittens").symlink_to(pictures / "cat")
    (pictures / "dog" / "circle").symlink_to(pictures)
    assert len(_names_of(pictures)) == 30
    for target in ("/", str(tmp_path), str(pictures / "cat" / "00.png")):
        link = pictures / "cat" / ("file.png" if target.endswith("png") else "out")
        link.symlink_to(target)
        if target.endswith("png"):
            assert len(_names_of(pictures)) == 32  # inside: a picture under two names, in two folders
        else:
            with pytest.raises(UserError, match="which leads out of it to"):
                ImageFolder(str(pictures))
        link.unlink()
    (tmp_path / "secret.png").write_bytes(b"x")
    (pictures / "cat" / "file.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(UserError, match="which leads out of it to"):
        ImageFolder(str(pictures))
    (tmp_path / "elsewhere").symlink_to(pictures / "dog")
    with pytest.raises(UserError, match="which leads out"):  # the root itself may be a link, what is in it may not
        ImageFolder(str(tmp_path / "elsewhere"))


def _empty(root):
    root.mkdir()


def _damaged(root):
    write_pictures(root, [f"{i}.png" for i in range(5)])
    path = root / "3.png"
    path.write_bytes(path.read_bytes()[:-30])


def _text(root):
    write_pictures(root, [f"{i}.png" for i in range(5)])
    (root / "3.png").write_text("hello")


def _two_sizes(root):
    write_pictures(root, ["0.png", "1.png", "2.png"])
    write_pictures(root, ["9.png"], (7, 9))


def _two_kinds(root):
    write_pictures(root, ["0.png", "1.png", "2.png"])
    write_pictures(root, ["9.png"], mode="RGB")


def _sixteen_bits(root):
    root.mkdir()
    for name in "abc":
        Image.fromarray(np.full((4, 4), 200, np.uint16)).save(root / f"{name}.png")


CASES = {
    "missing": (lambda root: None, {}, r"data.root is .*set, which does not exist: want a folder with pictures \(png"),
    "empty": (_empty, {}, r"data.root is .*set: want a folder with pictures \(png, jpg"),
    "not a zip": (lambda root: root.write_text("x"), {}, "data.root is .*: File is not a zip file; want a zip file"),
    "too few": (lambda root: write_pictures(root, ["0.png", "1.png"]), {}, "has 2 pictures to train on: want at least"),
    "damaged": (_damaged, {}, r"picture 3.png cannot be decoded \(.*\): want a whole picture file"),
    "text": (_text, {}, r"picture 3.png cannot be decoded \(not a picture\)"),
    "sizes": (_two_sizes, {}, "picture 9.png is 9x7, the first is 6x6: want data.size to resize all"),
    "kinds": (_two_kinds, {}, "picture 9.png has colours, the first is grey: want data.channels 1 or 3"),
    "16 bits": (_sixteen_bits, {}, "picture .*.png has 16 bits per channel, but no value above 200: want 8 bits"),
    "crop": (_two_sizes, {"crop": 8, "size": 4}, "data.crop is 8, but picture 0.png is 6x6: want a crop inside"),
    "size": (_two_sizes, {"size": 0}, "data.size is 0: want 1 or more pixels"),
    "share": (_two_sizes, {"share": 0.6}, "data.share is 0.6: want above 0 and below 0.5"),
}


@pytest.mark.parametrize("case", CASES)
def test_every_mistake_is_one_plain_line_before_training(case, tmp_path):
    make, options, words = CASES[case]
    make(tmp_path / "set")
    with pytest.raises(UserError, match=words) as error:
        ImageFolder(str(tmp_path / "set"), batch_size=1, **options).train_dataloader()
    assert "\n" not in str(error.value)


def test_a_wrong_loader_is_one_plain_line():
    with pytest.raises(UserError, match=r"data.loader.memory is -1: want 0 or more megabytes"):
        Loader(memory=-1)
    with pytest.raises(UserError, match=r"data.loader.threads is 0: want 1 or more"):
        Loader(threads=0)


def test_a_damaged_picture_of_a_streamed_set_is_named_when_its_turn_comes(tmp_path):
    _damaged(tmp_path / "set")
    loader = ImageFolder(str(tmp_path / "set"), batch_size=3, loader=Loader(0)).train_dataloader()
    with pytest.raises(UserError, match=r"picture 3.png cannot be decoded"):
        list(itertools.chain(loader, loader, loader))


def test_a_picture_without_class_is_named(pictures):
    write_pictures(pictures, ["loose.png"])
    with pytest.raises(UserError, match=r"picture loose.png lies in no class folder, want one folder per class"):
        ClassFolders(str(pictures))


def test_a_file_that_vanishes_is_named(pictures):
    data = ImageFolder(str(pictures), loader=Loader(0))
    shutil.rmtree(pictures / "dog")
    with pytest.raises(UserError, match=r"dog/0\d.png cannot be read"):
        list(data.rows("train").batches([torch.arange(16)]))
