"""Sets in shards: the same images as the set they were made of, each once per epoch over all processes, resume at the
very next batch, few shards held, and every message."""

import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path

import pytest
import torch

from lightning_gen.config.cli import main
from lightning_gen.data import shards
from lightning_gen.data.augment import RandomShift
from lightning_gen.data.digits import Digits
from lightning_gen.data.rows import TrainLoader
from lightning_gen.data.shapes import Shapes
from lightning_gen.data.shards import ShardReader, write_shards
from lightning_gen.data.streamed import ShardedImages
from lightning_gen.errors import UserError

webdataset = pytest.importorskip("webdataset")
SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """1,297 digits in 13 shards, 200 in 2, 300 in 3."""
    folder = tmp_path_factory.mktemp("shards") / "digits"
    write_shards(Digits(), folder, 100)
    return folder


@pytest.fixture
def copy(digits, tmp_path):
    """The same, to be damaged."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in digits.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def _loader(folder, rank=0, world=1, batch_size=8, **options):
    data = ShardedImages(str(folder), batch_size=batch_size, **options)
    return TrainLoader(data.rows("train"), batch_size, data.seed, rank, world, data.augment)


def _for_ever(loader):
    while True:
        yield from loader


def _bytes(batch):
    return [image.numpy().tobytes() for image in batch["image"]]


def _indices(folder, world, batch_size, mix=3, seed=0):
    """What each process takes in an epoch, int64."""
    rows = ShardedImages(str(folder), mix=mix).rows("train")
    generator = torch.Generator
    return [
        torch.cat(list(rows.epoch(generator().manual_seed(seed), rank, world, batch_size))) for rank in range(world)
    ]


@pytest.mark.parametrize("original", [Digits(), Shapes(size=16, images=60)], ids=["digits", "shapes"])
def test_shards_hold_the_set_they_were_made_of(original, tmp_path):
    write_shards(original, tmp_path, 50)
    data = ShardedImages(str(tmp_path))
    for room in ("spec", "fingerprint", "name", "class_names", "attribute_names"):
        assert getattr(data, room) == getattr(original, room)
    for split in SPLITS:
        assert data.size(split) == original.size(split)
        for mine, theirs in zip(data.batches(split, 64, 3, 150), original.batches(split, 64, 3, 150), strict=True):
            assert mine.keys() == theirs.keys()
            for key, value in theirs.items():
                assert torch.equal(mine[key], value) if isinstance(value, torch.Tensor) else mine[key] == value


def test_the_same_set_gives_the_same_bytes(digits, tmp_path):
    write_shards(Digits(), tmp_path, 100)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {p.name: p.read_bytes() for p in digits.iterdir()}


def test_the_library_of_the_format_reads_them(digits):
    samples = list(webdataset.WebDataset(str(digits / "train-000012.tar"), shardshuffle=False).decode("pil"))
    assert len(samples) == 97
    assert samples[0]["png"].size == (8, 8)
    assert {int(sample["cls"]) for sample in samples} == set(range(10))


@pytest.mark.parametrize(("world", "batch_size"), [(1, 1297), (1, 8), (2, 8), (3, 7), (16, 5)])
def test_an_epoch_takes_each_image_once_over_all_processes(digits, world, batch_size):
    taken = _indices(digits, world, batch_size)
    every = torch.cat(taken)
    assert len(every.unique()) == len(every) == 1297 // (world * batch_size) * world * batch_size
    assert len({len(own) for own in taken}) == 1
    assert every.min() >= 0 and every.max() < 1297  # noqa: PT018


def test_epochs_and_seeds_differ_and_what_is_left_out_does_too(digits):
    [one], [other] = (_indices(digits, 1, 8, seed=seed) for seed in (0, 1))
    assert not torch.equal(one, other)
    assert torch.equal(one, _indices(digits, 1, 8)[0])
    loader = _loader(digits)
    first, second = ([image for batch in loader for image in _bytes(batch)] for _ in range(2))
    assert first != second
    assert len(first) == len(second) == 1296


def test_images_of_several_shards_are_mixed(digits):
    [own] = _indices(digits, 1, 8, mix=4)
    in_first_batches = (own[:80] // 100).unique()
    assert len(in_first_batches) == 4


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("position", [0, 1, 37, 80, 81, 130])
def test_resume_goes_on_at_the_very_next_batch(digits, world, position):
    options = {"world": world, "augment": RandomShift(1), "mix": 3}
    for rank in range(world):
        first, again = (_loader(digits, rank, **options) for _ in range(2))
        whole = [_bytes(batch) for batch in islice(_for_ever(first), position + 5)]
        stopped = _loader(digits, rank, **options)
        head = [_bytes(batch) for batch in islice(_for_ever(stopped), position)]
        again.load_state_dict(stopped.state_dict())
        assert head + [_bytes(batch) for batch in islice(_for_ever(again), 5)] == whole


def test_a_process_fetches_its_own_shards_once_and_holds_few(digits, monkeypatch):
    fetched, samples = [], ShardReader._samples

    def noted(self, shard):
        fetched.append(shard.file)
        return samples(self, shard)

    monkeypatch.setattr(ShardReader, "_samples", noted)
    for rank in range(2):
        loader = _loader(digits, rank, world=2, mix=2)
        for _ in loader:
            assert len(loader.rows.reader.held) <= 4
    assert len(fetched) <= 14  # 13, one of them in the stretches of both
    assert set(fetched) == {f"train-{i:06}.tar" for i in range(13)}


def test_shards_behind_a_url_are_those_of_the_folder(digits):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(digits))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        there = _loader(f"http://127.0.0.1:{server.server_port}/")
        here = _loader(digits)
        assert [_bytes(b) for b in islice(there, 20)] == [_bytes(b) for b in islice(here, 20)]
        server.shutdown()


def test_a_dropped_connection_is_tried_again(digits, monkeypatch):
    calls, fetch = [], shards._fetch

    def flaky(path):
        calls.append(path)
        if len(calls) in (2, 3):
            raise ConnectionResetError("reset")
        return fetch(path.removeprefix("memory://x"))

    monkeypatch.setattr(shards, "_fetch", flaky)
    monkeypatch.setattr(shards.time, "sleep", lambda seconds: None)
    assert len(list(ShardedImages(f"memory://x{digits}").batches("val", 100))) == 2
    assert len(calls) == 5  # the index, three times the first shard, the second one


def test_pack_is_a_command(tmp_path, capsys):
    assert main(["pack", "configs/data/digits.yaml", "--out", str(tmp_path / "s"), "--images", "700"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"{tmp_path / 's'}: 1,797 images, fingerprint {Digits().fingerprint}"
    assert main(["pack", "configs/data/digits.yaml", "--out", str(tmp_path / "s")]) == 2
    assert "holds a set already: want another folder" in capsys.readouterr().err


def _refused(folder, **options):
    with pytest.raises(UserError) as caught:
        list(ShardedImages(str(folder), **options).batches("train", 64))
    return str(caught.value)


def test_what_is_not_a_set_is_one_line(copy, tmp_path):
    assert "where no index.json is: want a folder or URL that lightning-gen pack" in _refused(tmp_path / "none")
    assert _refused(copy, mix=0) == "data.mix is 0: want 1 or more"
    (copy / "train-000003.tar").unlink()
    assert "train-000003.tar is missing or cut short" in _refused(copy)
    (copy / "index.json").write_text(json.dumps({"splits": {}}))
    assert "index.json is of another kind" in _refused(copy)
    (copy / "index.json").write_text("{")
    assert "index.json cannot be read" in _refused(copy)


def test_a_changed_shard_is_one_line_when_its_turn_comes(copy):
    path = copy / "train-000003.tar"
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    assert "train-000003.tar is damaged: its SHA-256 is not that of the index" in _refused(copy)


def test_without_the_library_it_is_one_line(digits, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "webdataset", None)
    assert "want pip install 'lightning-gen[streaming]'" in _refused(digits)
    with pytest.raises(UserError, match="lightning-gen\\[streaming\\]"):
        write_shards(Digits(), Path("nowhere"), 10)
