"""Named sets, on tiny files in each set's own layout on disk."""

import gzip
import hashlib
import pickle
import struct

import numpy as np
import pytest
import torch
from picture_files import write_pictures, zip_folder
from torchvision import datasets

from lightning_gen.data.celeba import CELEBA_ATTRIBUTES, CelebA
from lightning_gen.data.downloads import CIFAR10, MNIST, SVHN, FashionMNIST
from lightning_gen.data.files import Loader
from lightning_gen.data.imagenet import ImageNet32, ImageNet64
from lightning_gen.data.levels import Bernoulli
from lightning_gen.data.lsun import LSUN
from lightning_gen.errors import UserError

DRAW = np.random.default_rng(0)
TRAIN, TEST = 12, 5


def _random(*shape):
    return DRAW.integers(0, 256, shape, dtype=np.uint8)


def _write_idx(path, array, packed):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
    path.with_name(path.name + ".gz" * packed).write_bytes(gzip.compress(content) if packed else content)


def _mnist(root, folder="MNIST/raw", packed=False):
    parts = {"train": _random(TRAIN, 28, 28), "t10k": _random(TEST, 28, 28)}
    for stem, image in parts.items():
        _write_idx(root / folder / f"{stem}-images-idx3-ubyte", image, packed)
        _write_idx(root / folder / f"{stem}-labels-idx1-ubyte", np.arange(len(image), dtype=np.uint8) % 10, packed)
    return [torch.from_numpy(image).unsqueeze(1) for image in parts.values()]


def _fashion(root):
    return _mnist(root, "FashionMNIST/raw")


def _cifar(root):
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    counts = {**{f"data_batch_{i}": 3 for i in range(1, 5)}, "data_batch_5": 0, "test_batch": TEST}
    parts = {name: _random(count, 3072) for name, count in counts.items()}
    for name, data in parts.items():
        (folder / name).write_bytes(pickle.dumps({"data": data, "labels": [i % 10 for i in range(len(data))]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list(CIFAR10.class_names)}))
    train = np.concatenate([parts[f"data_batch_{i}"] for i in range(1, 6)])
    return [torch.from_numpy(data).view(-1, 3, 32, 32) for data in (train, parts["test_batch"])]


def _svhn(root):
    from scipy.io import savemat

    images = []
    for split, count in (("train", TRAIN), ("test", TEST)):
        image = _random(count, 3, 32, 32)
        label = np.array([[i % 10 or 10] for i in range(count)], np.uint8)
        savemat(root / f"{split}_32x32.mat", {"X": image.transpose(2, 3, 1, 0), "y": label})
        images.append(torch.from_numpy(image))
    return images


def _imagenet(root, side=32):
    parts = [_random(2 if i < 6 else 0, 3 * side * side) for i in range(10)]
    for i, data in enumerate(parts):
        folder = root / "Imagenet_train_npz"
        folder.mkdir(exist_ok=True)
        labels = np.arange(1, len(data) + 1)
        np.savez(folder / f"train_data_batch_{i + 1}.npz", data=data, labels=labels, mean=np.zeros(3 * side * side))
    test = _random(TEST, 3 * side * side)
    np.savez(root / "val_data.npz", data=test, labels=np.arange(1, TEST + 1))
    return [torch.from_numpy(data).view(-1, 3, side, side) for data in (np.concatenate(parts), test)]


def _imagenet64(root):
    return _imagenet(root, 64)


SETS = {
    "mnist": (MNIST, _mnist),
    "fashionmnist": (FashionMNIST, _fashion),
    "cifar10": (CIFAR10, _cifar),
    "svhn": (SVHN, _svhn),
    "imagenet32": (ImageNet32, _imagenet),
    "imagenet64": (ImageNet64, _imagenet64),
}


@pytest.fixture
def trust_tiny_cifar(monkeypatch, tmp_path):
    """torchvision knows the true files by their MD5: here, the tiny ones by theirs."""

    def trust():
        def entries(names):
            folder = tmp_path / "cifar-10-batches-py"
            return [[n, hashlib.md5((folder / n).read_bytes()).hexdigest()] for n in names]

        monkeypatch.setattr(datasets.CIFAR10, "train_list", entries([f"data_batch_{i}" for i in range(1, 6)]))
        monkeypatch.setattr(datasets.CIFAR10, "test_list", entries(["test_batch"]))
        (meta,) = entries(["batches.meta"])
        monkeypatch.setattr(datasets.CIFAR10, "meta", {**datasets.CIFAR10.meta, "md5": meta[1]})

    return trust


@pytest.mark.parametrize("name", SETS)
def test_a_set_holds_the_pixels_and_labels_of_its_files(name, tmp_path, trust_tiny_cifar):
    make, write = SETS[name]
    train, test = write(tmp_path)
    if make is CIFAR10:
        trust_tiny_cifar()
    data = make(str(tmp_path), validation=4)
    assert data.name == name
    assert [data.size(split) for split in ("train", "val", "test")] == [8, 4, 5]
    got = {split: next(data.batches(split, 99)) for split in ("train", "val", "test")}
    data.spec.check(got["train"]["image"])
    assert torch.equal(torch.cat([got["train"]["image"], got["val"]["image"]]), train)
    assert torch.equal(got["test"]["image"], test)
    if name in ("mnist", "fashionmnist", "svhn"):
        assert got["train"]["label"].tolist() == list(range(8))
        assert got["test"]["label"].tolist() == list(range(5))
    if name.startswith("imagenet"):
        assert got["train"]["label"].tolist() == [0, 1] * 4
    assert len(data.class_names) in (0, data.spec.classes)
    assert next(iter(make(str(tmp_path), validation=4, batch_size=2).train_dataloader()))["image"].shape[0] == 2


@pytest.mark.parametrize("name", SETS)
def test_missing_files_are_one_plain_line(name, tmp_path, monkeypatch):
    make, _ = SETS[name]
    assert make(str(tmp_path)).spec.classes == make.classes  # known without any file
    with pytest.raises(UserError, match=rf"data.root is .*, without {name}: want .* there, or data.download true"):
        make(str(tmp_path)).train_dataloader()

    def offline(self):
        raise OSError("no route to host\nmore")

    monkeypatch.setattr(make, "fetch", offline)
    with pytest.raises(
        UserError, match=rf"data.download of {name} failed \(no route to host\): want a network"
    ) as error:
        make(str(tmp_path), download=True).train_dataloader()
    assert "\n" not in str(error.value)


def test_prepare_data_downloads_and_setup_opens(tmp_path, monkeypatch):
    monkeypatch.setattr(MNIST, "fetch", lambda self: _mnist(self.root))
    data = MNIST(str(tmp_path), download=True, validation=4, batch_size=4)
    data.prepare_data()
    assert (tmp_path / "MNIST" / "raw").is_dir()
    other = MNIST(str(tmp_path), validation=4)  # another process: it has nothing to fetch
    other.prepare_data()
    other.setup("fit")
    assert other.fingerprint == data.fingerprint
    with pytest.raises(UserError, match="without mnist"):
        MNIST(str(tmp_path / "empty"), validation=4).setup("fit")


def test_download_fetches_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(MNIST, "fetch", lambda self: _mnist(self.root))
    assert MNIST(str(tmp_path), download=True, validation=4).size("train") == 8


def test_mnist_reads_gzipped_files_in_a_plain_folder(tmp_path):
    train, _ = _mnist(tmp_path, ".", packed=True)
    assert torch.equal(next(MNIST(str(tmp_path), validation=4).batches("train", 8))["image"], train[:8])


@pytest.mark.parametrize("name", ["mnist", "svhn", "imagenet32"])
def test_a_file_cut_short_is_one_plain_line(name, tmp_path):
    make, write = SETS[name]
    write(tmp_path)
    path = max((p for p in tmp_path.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(UserError, match=rf"{name} cannot be read \(.*\): want whole files") as error:
        make(str(tmp_path), validation=2).train_dataloader()
    assert "\n" not in str(error.value)


def test_changed_cifar_files_are_refused_before_they_are_unpickled(tmp_path):
    _cifar(tmp_path)
    with pytest.raises(UserError, match="want cifar-10-batches-py, whole and unchanged"):
        CIFAR10(str(tmp_path), validation=4).train_dataloader()


def test_levels_and_validation(tmp_path):
    _mnist(tmp_path)
    binary, grey = MNIST(str(tmp_path), validation=4, levels=Bernoulli()), MNIST(str(tmp_path), validation=4)
    assert binary.spec.levels == 2
    assert int(next(binary.batches("train", 8))["image"].max()) == 1
    assert binary.fingerprint != grey.fingerprint
    assert binary.fingerprint == MNIST(str(tmp_path), validation=4, levels=Bernoulli()).fingerprint
    for validation, words in ((0, "data.validation is 0: want 1"), (12, "data.validation is 12: want 1 to 11")):
        with pytest.raises(UserError, match=words):
            MNIST(str(tmp_path), validation=validation).train_dataloader()


def _celeba(root, packed):
    folder = root / "celeba"
    names = [f"{i:06}.jpg" for i in range(1, 9)]
    write_pictures(folder / "img_align_celeba", names, (218, 178), "RGB")
    if packed:
        zip_folder(folder, root / "x.zip").rename(folder / "img_align_celeba.zip")
        for path in (folder / "img_align_celeba").iterdir():
            path.unlink()
        (folder / "img_align_celeba").rmdir()
    values = np.where(DRAW.integers(0, 2, (8, 40)), 1, -1)
    rows = [f"{name} {' '.join(map(str, row))}" for name, row in zip(names, values, strict=True)]
    (folder / "list_attr_celeba.txt").write_text("\n".join(["8", " ".join(CELEBA_ATTRIBUTES) + " ", *rows, ""]))
    parts = [f"{name} {part}" for name, part in zip(names, [0, 0, 0, 0, 1, 1, 2, 2], strict=True)]
    (folder / "list_eval_partition.txt").write_text("\n".join([*parts, ""]))
    return torch.from_numpy(values == 1).float()


@pytest.mark.parametrize("packed", [False, True])
def test_celeba_has_its_splits_and_attributes(packed, tmp_path):
    values = _celeba(tmp_path, packed)
    data = CelebA(str(tmp_path), size=16)
    assert data.spec.attributes == len(data.attribute_names) == 40
    assert [data.size(split) for split in ("train", "val", "test")] == [4, 2, 2]
    batch = next(data.batches("val", 9))
    data.spec.check(batch["image"])
    assert torch.equal(batch["attributes"], values[4:6])


def _no_table(folder):
    (folder / "list_eval_partition.txt").unlink()


def _fewer_pictures(folder):
    (folder / "img_align_celeba" / "000002.jpg").unlink()


def _other_table(folder):
    (folder / "list_attr_celeba.txt").write_text("8\nBald\n000001.jpg 1\n")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_no_table, r"without list_eval_partition.txt: want celeba/ with img_align_celeba"),
        (_fewer_pictures, r"has 7 pictures, 8 of them in a split, 8 with attributes: want the same"),
        (_other_table, r"list_attr_celeba.txt is not CelebA's table of 40 columns"),
    ],
)
def test_wrong_celeba_files_are_one_plain_line(change, words, tmp_path):
    _celeba(tmp_path, packed=False)
    change(tmp_path / "celeba")
    with pytest.raises(UserError, match=words):
        CelebA(str(tmp_path)).train_dataloader()


def test_no_celeba_is_one_plain_line(tmp_path):
    with pytest.raises(UserError, match=r"data.root is .*, without celeba: want .*, or data.download true"):
        CelebA(str(tmp_path)).train_dataloader()


def test_lsun_reads_lmdb_folders(tmp_path):
    lmdb = pytest.importorskip("lmdb", reason="lmdb is not installed")
    contents = {}
    for split, count in (("train", 10), ("val", 3)):
        write_pictures(tmp_path / "raw", [f"{split}{i}.png" for i in range(count)], (20, 30), "RGB", seed=count)
        with (
            lmdb.open(str(tmp_path / f"tower_{split}_lmdb"), map_size=1 << 24) as environment,
            environment.begin(write=True) as view,
        ):
            for i in range(count):
                content = (tmp_path / "raw" / f"{split}{i}.png").read_bytes()
                contents[hashlib.sha1(content).hexdigest()] = content
                view.put(hashlib.sha1(content).hexdigest().encode(), content)
    data = LSUN("tower", str(tmp_path), size=8, share=0.2)
    assert [data.size(split) for split in ("train", "val", "test")] == [8, 3, 2]
    data.spec.check(next(data.batches("train", 8))["image"])
    assert data.fingerprint == LSUN("tower", str(tmp_path), size=8, share=0.2, loader=Loader(0)).fingerprint


def test_no_lsun_is_one_plain_line(tmp_path):
    with pytest.raises(UserError, match=r"without tower: want tower_train_lmdb there, from LSUN's own downloader"):
        LSUN("tower", str(tmp_path)).train_dataloader()
