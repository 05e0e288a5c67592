"""Where splits and classes lie: one level off, in other capitals, packed; what is not understood is refused."""

import os

import pytest
from picture_files import write_pictures, zip_folder

from lightning_gen.data.folders import ClassFolders, ImageFolder
from lightning_gen.errors import UserError

SPLITS = ("train", "val", "test")
NAMES = {"train": 6, "val": 2, "test": 3}


def _set(root, folders=("train", "val", "test"), inside="", classes=("cat", "dog")):
    for seed, (folder, count) in enumerate(zip(folders, NAMES.values(), strict=False)):
        names = [f"{inside}{kind}/{i}.png" for kind in classes for i in range(count)]
        write_pictures(root / folder, names, seed=seed)
    return root


LAYOUTS = {
    "as it should be": (("train", "val", "test"), "", ""),
    "capitals": (("Train", "VALID", "Testing"), "", ""),
    "one level off": (("train", "val", "test"), "pets/", ""),
    "two levels off": (("train", "val", "test"), "download/pets/", ""),
    "a folder in each split": (("train", "val", "test"), "", "images/"),
    "the split twice": (("train", "val", "test"), "", "SPLIT/"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_splits_and_classes_are_found(layout, packed, tmp_path):
    folders, above, inside = LAYOUTS[layout]
    root = tmp_path / "root"
    for folder, count in zip(folders, NAMES.values(), strict=True):
        below = inside.replace("SPLIT", folder)
        write_pictures(root / above / folder, [f"{below}{kind}/{i}.png" for kind in ("a", "b") for i in range(count)])
    place = zip_folder(root, tmp_path / "root.zip") if packed else root
    data = ClassFolders(str(place))
    assert data.class_names == ("a", "b")
    assert [data.size(split) for split in SPLITS] == [12, 4, 6]


@pytest.mark.parametrize("packed", [False, True])
def test_classes_one_level_off_are_found(packed, tmp_path):
    root = write_pictures(tmp_path / "root", [f"pets/{kind}/{i}.png" for kind in ("cat", "dog") for i in range(5)])
    data = ClassFolders(str(zip_folder(root, tmp_path / "root.zip") if packed else root))
    assert data.class_names == ("cat", "dog")


def test_zips_of_splits_may_hold_a_folder_of_their_name(tmp_path):
    _set(tmp_path / "raw")
    (tmp_path / "set").mkdir()
    for split in SPLITS:
        (tmp_path / "raw" / split).rename(tmp_path / split)
        write_pictures(tmp_path / "pack" / split / split, [f"{k}/{i}.png" for k in "ab" for i in range(3)])
        zip_folder(tmp_path / "pack" / split, tmp_path / "set" / f"{split.upper()}.zip")
    data = ClassFolders(str(tmp_path / "set"))
    assert data.class_names == ("a", "b")
    assert [data.size(split) for split in SPLITS] == [6, 6, 6]


def test_one_class_stays_a_class(tmp_path):
    write_pictures(tmp_path / "root", [f"cat/{i}.png" for i in range(5)])
    assert ClassFolders(str(tmp_path / "root")).class_names == ("cat",)


def test_strokes_of_windows_part_folders(tmp_path):
    import zipfile

    root = _set(tmp_path / "root")
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as file:
        for item in sorted(root.rglob("*.png")):
            info = zipfile.ZipInfo("x")
            info.filename = item.relative_to(root).as_posix().replace("/", "\\")
            file.writestr(info, item.read_bytes())
    data = ClassFolders(str(tmp_path / "w.zip"))
    assert data.class_names == ("cat", "dog")
    assert data.size("test") == 6


REFUSED = {
    "no train": (["test/a/1.png", "val/a/1.png"], "holds test and val, but no train: want train beside it"),
    "beside": (["train/a/1.png", "test/a/1.png", "b/1.png"], "holds test, train and 1 picture beside, such as b/1.png"),
    "loose": (["train/1.png", "2.png"], "holds train and 1 picture beside, such as 2.png: want all in the splits"),
    "twice": (["train/a/1.png", "val/a/1.png", "valid/a/1.png"], "holds val and valid: want one place for val"),
    "capitals": (["train/a/1.png", "Train/a/1.png"], "holds Train and train: want one place for train"),
    "in classes": (
        ["cat/train/1.png", "cat/test/2.png", "dog/train/1.png"],
        "holds train and test below cat: want them",
    ),
    "other classes": (["train/a/1.png", "test/b/1.png"], "test has the class folder b, train does not; want"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("case", REFUSED)
def test_a_layout_that_is_not_understood_is_refused(case, packed, tmp_path):
    names, words = REFUSED[case]
    root = write_pictures(tmp_path / "root", [name.replace("1.png", f"{i}.png") for name in names for i in (1, 3, 4)])
    if packed:
        root = zip_folder(root, tmp_path / "root.zip")
    for kind in (ClassFolders, *([] if case == "other classes" else [ImageFolder])):
        with pytest.raises(UserError, match=words.replace("1 picture beside", r"\d pictures? beside")) as error:
            kind(str(root))
        assert "\n" not in str(error.value)


def test_files_without_ending_and_jfif_are_read_and_others_counted(tmp_path, capsys):
    root = write_pictures(tmp_path / "root", [f"{i}.png" for i in range(4)])
    (root / "0.png").rename(root / "bare")
    write_pictures(root, ["4.jpg"])
    (root / "4.jpg").rename(root / "4.jfif")
    for name in ("README", "notes.txt", "more.TXT", "labels.csv", ".hidden"):
        (root / name).write_text("hello")
    for place in (root, zip_folder(root, tmp_path / "root.zip")):
        data = ImageFolder(str(place))
        assert sum(data.size(split) for split in SPLITS) == 5
        assert {"bare", "4.jfif"} <= set(data.catalogue.source.names)
        said = capsys.readouterr().err
        assert "left out: 1 .csv, 2 .txt, 1 no ending\n" in said
        ImageFolder(str(place))
        assert capsys.readouterr().err == ""  # once is enough


def test_a_name_that_is_no_utf8_is_read(tmp_path):
    root = write_pictures(tmp_path / "root", [f"{kind}/{i}.png" for kind in "ab" for i in range(4)])
    os.rename(root / "a", os.fsencode(root) + b"/caf\xe9")
    os.rename(os.fsencode(root) + b"/caf\xe9/0.png", os.fsencode(root) + b"/caf\xe9/\xff.png")
    data = ClassFolders(str(root))
    assert data.class_names == ("b", "caf\\xe9")
    assert "caf\\xff.png" not in data.catalogue.source.names
    assert "caf\\xe9/\\xff.png" in data.catalogue.source.names
    assert len(data.fingerprint) == 16
    assert sum(len(next(data.batches(split, 99))["image"]) for split in SPLITS) == 8


def test_two_links_to_one_folder_are_two_folders(tmp_path):
    root = write_pictures(tmp_path / "root", [f"cat/{i}.png" for i in range(4)])
    (root / "felis").symlink_to(root / "cat")
    (root / "gato").symlink_to(root / "cat")
    data = ClassFolders(str(root))
    assert data.class_names == ("cat", "felis", "gato")
    assert sum(data.size(split) for split in SPLITS) == 12


def test_links_that_multiply_are_refused(tmp_path):
    root = write_pictures(tmp_path / "root", ["x.png"])
    for i in range(30):
        (root / str(i)).mkdir()
    for i in range(29):
        for way in "ab":
            (root / str(i) / way).symlink_to(root / str(i + 1))
    with pytest.raises(UserError, match="want fewer links to one folder"):
        ImageFolder(str(root))


def test_a_pipe_is_left_out(tmp_path):
    root = write_pictures(tmp_path / "root", [f"{i}.png" for i in range(4)])
    os.mkfifo(root / "pipe.png")
    os.mkfifo(root / "pipe")
    data = ImageFolder(str(root))
    assert sum(data.size(split) for split in SPLITS) == 4
    with pytest.raises(UserError, match="no ordinary file"):
        ImageFolder(str(root / "pipe"))


def test_zip_files_that_are_the_splits_are_not_said_to_be_left_out(tmp_path, capsys):
    root = tmp_path / "set"
    for split, count in (("train", 6), ("test", 3)):
        folder = write_pictures(tmp_path / split, [f"{i}.png" for i in range(count)])
        root.mkdir(exist_ok=True)
        zip_folder(folder, root / f"{split}.zip")
    assert ImageFolder(str(root)).size("test") == 3
    assert capsys.readouterr().err == ""
    other = tmp_path / "other"
    root.rename(other)
    (other / "notes.txt").write_text("x")
    (other / "old.zip").write_bytes((other / "test.zip").read_bytes())
    ImageFolder(str(other)).size("train")
    assert "are left out: 1 .txt, 1 .zip\n" in capsys.readouterr().err
