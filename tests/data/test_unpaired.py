"""Two domains without pairs: what stands beside what, epochs, processes, resume, hidden truth, wrong folders."""

from itertools import islice

import numpy as np
import pytest
import torch
from picture_files import write_pictures, zip_folder
from PIL import Image

from lightning_gen.data.augment import HorizontalFlip
from lightning_gen.data.files import Loader
from lightning_gen.data.rows import MemoryRows, TrainLoader
from lightning_gen.data.shape_domains import ShapeDomains
from lightning_gen.data.unpaired import HiddenPairs, TwoClasses, TwoFolders, UnpairedRows
from lightning_gen.errors import UserError


def _numbered(count):
    """Rows whose picture i holds the number i."""
    return MemoryRows({"image": torch.arange(count, dtype=torch.uint8)[:, None, None, None]})


def _numbers(batches):
    """Source and image of every row, in order."""
    batches = list(batches)
    return [torch.cat([b[key].flatten() for b in batches]).tolist() for key in ("source", "image")]


@pytest.mark.parametrize(("sources", "images"), [(7, 12), (12, 7), (5, 5)])
def test_every_source_is_seen_equally_often_beside_images_drawn_at_random(sources, images):
    rows = UnpairedRows(_numbered(sources), _numbered(images))
    loader = TrainLoader(rows, 1, seed=3)
    assert len(loader) == len(rows) == max(sources, images)
    epochs = [_numbers(loader) for _ in range(200)]
    counts = torch.bincount(torch.tensor([i for source, _ in epochs for i in source]), minlength=sources)
    assert set(torch.bincount(torch.tensor(epochs[0][0])).tolist()) <= {len(rows) // sources, -(-len(rows) // sources)}
    assert counts.min() > 0.75 * counts.float().mean()
    drawn = torch.bincount(torch.tensor([i for _, image in epochs for i in image]), minlength=images).double()
    assert float(((drawn - drawn.mean()) ** 2 / drawn.mean()).sum()) < images + 5 * (2 * images) ** 0.5  # chi-squared
    assert epochs[0] != epochs[1]
    source, image = _numbers(rows.batches([torch.arange(len(rows))]))
    assert source == [i % sources for i in range(len(rows))]
    assert image == [i % images for i in range(len(rows))]


def test_two_processes_share_what_one_sees_and_a_loader_goes_on_where_it_stopped():
    rows = UnpairedRows(_numbered(9), _numbered(13))
    one = [b for _, b in zip(range(12), _endless(TrainLoader(rows, 4, seed=1)), strict=False)]
    parts = [_endless(TrainLoader(rows, 2, seed=1, rank=rank, world=2)) for rank in range(2)]
    for whole, first, second in zip(one, *parts, strict=False):
        for key in ("source", "image"):
            assert torch.equal(whole[key], torch.stack([first[key], second[key]], 1).flatten(0, 1))
    stopped = TrainLoader(rows, 4, seed=1)
    list(islice(_endless(stopped), 5))
    rest = TrainLoader(rows, 4, seed=1)
    rest.load_state_dict(stopped.state_dict())
    for expected, got in zip(one[5:], _endless(rest), strict=False):
        assert torch.equal(expected["image"], got["image"])
        assert torch.equal(expected["source"], got["source"])


def _endless(loader):
    while True:
        yield from loader


@pytest.mark.parametrize("memory", [0, 64])
def test_two_folders_of_any_counts_are_split_each_for_itself(memory, tmp_path):
    write_pictures(tmp_path / "a", [f"{i}.png" for i in range(20)], (8, 8), "RGB")
    write_pictures(tmp_path / "b", [f"{i}.png" for i in range(31)], (8, 8), "L", seed=1)
    read = {"loader": Loader(memory), "batch_size": 5, "share": 0.2}
    data = TwoFolders(str(tmp_path / "a"), str(tmp_path / "b"), **read)
    assert (data.spec.channels, data.spec.source.channels) == (1, 3)
    assert [data.size(split) for split in ("train", "val", "test")] == [19, 6, 6]
    assert not data.paired_in("test")
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (5, 1, 8, 8)
    assert batch["source"].shape == (5, 3, 8, 8)
    packed = TwoFolders(*(str(zip_folder(tmp_path / n, tmp_path / f"{n}.zip")) for n in "ab"), **read)
    assert packed.fingerprint == data.fingerprint
    assert torch.equal(next(iter(packed.train_dataloader()))["image"], batch["image"])
    other = TwoFolders(str(tmp_path / "b"), str(tmp_path / "a"), **read)
    assert other.fingerprint != data.fingerprint


def test_two_classes_of_one_set(tmp_path):
    for seed, kind in enumerate(("cat", "dog", "frog")):
        write_pictures(tmp_path / "train" / kind, [f"{i}.png" for i in range(10)], (8, 8), "RGB", seed)
        write_pictures(tmp_path / "test" / kind, [f"{i}.png" for i in range(3)], (8, 8), "RGB", seed + 3)
    data = TwoClasses(str(tmp_path), "cat", "frog")
    assert (data.size("train"), data.size("val"), data.size("test")) == (9, 1, 3)
    assert data.name == "cat2frog"
    own = [torch.from_numpy(np.array(Image.open(p))).permute(2, 0, 1) for p in (tmp_path / "test/frog").iterdir()]
    shown = next(data.batches("test", 3))["image"]
    assert all(any(torch.equal(image, p) for p in own) for image in shown)
    for wrong, words in (
        (("cat", "cow"), "data.target is cow, no class of .* want one of cat, dog, frog"),
        (("cat", "cat"), "both cat: want two classes"),
    ):
        with pytest.raises(UserError, match=words):
            TwoClasses(str(tmp_path), *wrong)
    with pytest.raises(UserError, match="which does not exist"):
        TwoFolders(str(tmp_path / "none"), str(tmp_path))
    with pytest.raises(UserError, match="want two folders"):
        TwoFolders(str(tmp_path), str(tmp_path))


def test_hidden_pairs_are_pairs_in_evaluation_alone(tmp_path):
    for i in range(30):
        half = np.full((8, 8, 3), i * 4, np.uint8)
        Image.fromarray(np.concatenate([half, half + 100], 1)).save(tmp_path / f"{i}.png")
    data = HiddenPairs(str(tmp_path), size=8, source="left")
    assert [data.paired_in(split) for split in ("train", "val", "test")] == [False, True, True]
    for split in ("val", "test"):
        batch = next(data.batches(split, 3))
        assert torch.equal(batch["source"] + 100, batch["image"])
    batch = next(data.batches("train", 24))
    assert not ((batch["source"] + 100) == batch["image"]).flatten(1).all(1).any()
    seen = [
        torch.equal(s + 100, x) for b in data.train_dataloader() for s, x in zip(b["source"], b["image"], strict=True)
    ]
    assert sum(seen) < len(seen) / 2


@pytest.mark.parametrize("change", ["hue", "background"])
def test_drawn_domains_differ_in_one_attribute_and_know_the_truth(change):
    data = ShapeDomains(16, 40, change, augment=HorizontalFlip())
    batch = next(data.batches("test", 64))
    source, truth = batch["source"], batch["image"]
    differ = (source != truth).any(1)
    assert 0 < differ.float().mean() < 1
    if change == "hue":  # the ground is the same
        assert torch.equal(source[:, :, 0, 0], truth[:, :, 0, 0])
    exact = {
        name: float(data.exact(x, batch)["attribute_accuracy"].mean())
        for name, x in {"truth": truth, "source": source, "grey": (source // 2 + truth // 2)}.items()
    }
    assert exact == {"truth": 1.0, "source": 0.0, "grey": 0.0}
    train = next(data.batches("train", 40))
    assert not any(torch.equal(x, y) for x in train["image"] for y in truth)
    assert data.exact_names == ("attribute_accuracy",)
    assert data.fingerprint == ShapeDomains(16, 40, change).fingerprint
    assert data.fingerprint != ShapeDomains(16, 41, change).fingerprint
