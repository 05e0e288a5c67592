"""Sets read by the library `datasets`, from a local folder of parquet files."""

import sys

import numpy as np
import pytest
import torch
from picture_files import write_pictures
from PIL import Image

from lightning_gen.data.files import Loader
from lightning_gen.data.huggingface import Columns, HubSet, Splits
from lightning_gen.errors import UserError

NAMED = {"columns": Columns(label="label", text="caption"), "splits": Splits(test="test")}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    write_pictures(tmp_path / "raw", [f"{i}.png" for i in range(14)], (5, 7))
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["cat", "dog"]),
            "caption": datasets.Value("string"),
        }
    )
    for split, rows in (("train", range(10)), ("test", range(10, 14))):
        columns = {
            "image": [str(tmp_path / "raw" / f"{i}.png") for i in rows],
            "label": [i % 2 for i in rows],
            "caption": [f"number {i}" for i in rows],
        }
        part = datasets.Dataset.from_dict(columns, features=features)
        (tmp_path / "set").mkdir(exist_ok=True)
        part.to_parquet(str(tmp_path / "set" / f"{split}-00000-of-00001.parquet"))
    return tmp_path


@pytest.mark.parametrize("memory", [0, 64])
def test_pictures_labels_and_captions_are_those_of_the_set(hub, memory):
    data = HubSet(
        str(hub / "set"),
        columns=Columns(label="label", text="caption"),
        splits=Splits(test="test", share=0.2),
        loader=Loader(memory),
    )
    assert [data.size(split) for split in ("train", "val", "test")] == [8, 2, 4]
    assert data.class_names == ("cat", "dog")
    assert data.spec.shape == (1, 5, 7)
    for split in ("train", "val", "test"):
        batch = next(data.batches(split, 99))
        data.spec.check(batch["image"])
        for image, label, text in zip(batch["image"], batch["label"].tolist(), batch["text"], strict=True):
            number = int(text.removeprefix("number "))
            assert label == number % 2
            wanted = np.array(Image.open(hub / "raw" / f"{number}.png"))
            assert torch.equal(image[0], torch.from_numpy(wanted))
    assert (
        data.fingerprint
        == HubSet(
            str(hub / "set"),
            columns=Columns(label="label", text="caption"),
            splits=Splits(test="test", share=0.2),
            seed=3,
        ).fingerprint
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"splits": Splits("training")}, r"has no split training: want one of train, test"),
        ({"columns": Columns("picture")}, r"has no Image column picture: want one of image"),
        ({"columns": Columns(label="caption")}, r"has no ClassLabel column caption: want one of label"),
    ],
)
def test_wrong_names_are_one_plain_line(hub, options, words):
    with pytest.raises(UserError, match=words):
        HubSet(str(hub / "set"), **options)


def test_a_share_of_nothing_is_one_plain_line():
    with pytest.raises(UserError, match=r"data.splits.share is 0.0: want above 0"):
        Splits(share=0.0)


def test_a_missing_set_is_one_plain_line(hub):
    with pytest.raises(UserError, match=r"data.path is .*none, which cannot be loaded: ") as error:
        HubSet(str(hub / "none"))
    assert "\n" not in str(error.value)


def test_without_the_library_it_is_one_plain_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match="datasets, which is not installed: want pip install"):
        HubSet("ylecun/mnist")
