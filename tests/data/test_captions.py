"""Captions beside pictures: every layout gives the same captions; what does not fit is one plain line."""

import functools
import json
import operator

import pytest
import torch

from lightning_gen.config.loading import load_data
from lightning_gen.data.captions import CaptionPerPicture, CaptionTable, CaptionTokens, CocoCaptions
from lightning_gen.data.folders import CaptionedFolder
from lightning_gen.data.rows import one_of_each
from lightning_gen.errors import UserError
from tests.data.picture_files import write_pictures, zip_folder

NAMES = [f"{i:03d}" for i in range(6)]
TEXTS = {name: [f"picture {name}, first", f"picture {name}, 'second'"] for name in NAMES}


def _table(root):
    write_pictures(root, [f"images/{name}.jpg" for name in NAMES], mode="RGB")
    rows = "".join(f'{name}.jpg,"{text}"\r\n' for name in NAMES for text in TEXTS[name])
    (root / "captions.csv").write_bytes(b"\xef\xbb\xbfimage,caption\r\n" + rows.encode())
    return CaptionTable()


def _flickr8k(root):
    write_pictures(root, [f"Flicker8k_Dataset/{name}.jpg" for name in NAMES], mode="RGB")
    lines = [f"{name}.jpg#{i}\t{text}" for name in NAMES for i, text in enumerate(TEXTS[name])]
    (root / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")
    return CaptionTokens()


def _cub(root):
    for name in NAMES:
        folder = f"{int(name) % 2 + 1:03d}.Bird"
        write_pictures(root, [f"images/{folder}/{name}.jpg"], mode="RGB", seed=int(name))
        path = root / "text_c10" / folder / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(TEXTS[name]) + "\n\n")
    return CaptionPerPicture()


def _coco(root):
    write_pictures(root, [f"train2017/{name}.jpg" for name in NAMES], mode="RGB")
    images = [{"id": int(name), "file_name": f"{name}.jpg"} for name in NAMES]
    notes = [{"image_id": int(name), "caption": text} for name in NAMES for text in TEXTS[name]]
    (root / "annotations").mkdir()
    content = json.dumps({"images": images, "annotations": notes})
    (root / "annotations" / "captions_train2017.json").write_text(content)
    return CocoCaptions(["captions_train2017.json"])


LAYOUTS = {"table": _table, "flickr8k": _flickr8k, "cub": _cub, "coco": _coco}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_each_picture_its_captions(layout, tmp_path):
    root = tmp_path / "set"
    root.mkdir()
    captions = LAYOUTS[layout](root)
    data, packed = (CaptionedFolder(str(r), captions=captions) for r in (root, zip_folder(root, tmp_path / "set.zip")))
    assert data.spec.text
    assert data.fingerprint == packed.fingerprint
    found = [text for split in ("train", "val", "test") for text in data.captions(split)]
    assert sorted(found) == sorted(text for part in TEXTS.values() for text in part)
    for split in ("train", "val", "test"):  # the first caption in the fixed order, without decoding for `captions`
        first = next(data.batches(split, 6))["text"]
        assert first == list(data.captions(split))[::2]


def test_in_training_every_caption_has_its_turn_and_resume_changes_nothing(tmp_path):
    captions = _table(tmp_path)
    data = CaptionedFolder(str(tmp_path), captions=captions, batch_size=2)
    loader = data.train_dataloader()
    epochs = [[text for batch in loader for text in batch["text"]] for _ in range(12)]
    assert set(functools.reduce(operator.iadd, epochs, [])) == set(data.captions("train"))
    other = data.train_dataloader()
    other.load_state_dict({"epoch": 3, "position": 1})
    assert [text for batch in other for text in batch["text"]] == epochs[3][2:]
    assert one_of_each(["a\nb\nc", "d"], torch.tensor([4, 9])) == ["b", "d"]


def test_a_yaml_names_the_captions(tmp_path):
    (tmp_path / "set").mkdir()
    _cub(tmp_path / "set")
    config = tmp_path / "data.yaml"
    config.write_text(
        f"""data:
  class_path: lightning_gen.data.folders.CaptionedFolder
  init_args:
    root: {tmp_path / "set"}
    size: 4
    captions: {{class_path: lightning_gen.data.captions.CaptionPerPicture}}
"""
    )
    assert load_data(config).spec.shape == (3, 4, 4)


def _without_caption(root):
    _table(root)
    write_pictures(root, ["images/other.jpg"], mode="RGB")


def _wrong_columns(root):
    _table(root)
    (root / "captions.csv").write_text("a,b\n1,2\n")


def _no_table(root):
    _table(root)
    (root / "captions.csv").unlink()


def _two_tables(root):
    _table(root)
    (root / "more").mkdir()
    (root / "more" / "captions.csv").write_text("image,caption\n")


def _not_utf8(root):
    _table(root)
    (root / "captions.csv").write_bytes(b"image,caption\n000.jpg,\xe9\n")


FAULTS = {
    "1 of 7 pictures have no caption, such as images/other.jpg|other.jpg": _without_caption,
    "want image and caption": _wrong_columns,
    "holds no such file: want one file captions.csv": _no_table,
    "captions.csv and more/captions.csv: want one file": _two_tables,
    "is no UTF-8 text": _not_utf8,
}


@pytest.mark.parametrize("words", FAULTS)
def test_what_does_not_fit_is_one_line(words, tmp_path):
    FAULTS[words](tmp_path)
    with pytest.raises(UserError, match=words) as caught:
        CaptionedFolder(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"images": [{}], "annotations": []}', "[" * 100_000])
def test_a_damaged_coco_file_is_one_line(content, tmp_path):
    captions = _coco(tmp_path)
    (tmp_path / "annotations" / "captions_train2017.json").write_text(content)
    with pytest.raises(UserError, match=r"no COCO file of captions|have no caption"):
        CaptionedFolder(str(tmp_path), captions=captions)
