"""Shards of a stranger: whatever index and tar files say, one plain line, and nothing outside the folder is read."""

import gzip
import hashlib
import io
import json
import tarfile

import pytest
from PIL import Image

from lightning_gen.config.cli import main
from lightning_gen.data.digits import Digits
from lightning_gen.data.shards import write_shards
from lightning_gen.data.streamed import ShardedImages
from lightning_gen.errors import UserError

pytest.importorskip("webdataset")


@pytest.fixture
def folder(tmp_path):
    write_shards(Digits(), tmp_path / "digits", 1000)
    return tmp_path / "digits"


def _index(folder):
    return json.loads((folder / "index.json").read_text())


def _deep():
    value = []
    for _ in range(100_000):
        value = [value]
    return value


INDICES = {
    "a file elsewhere": lambda c: c["splits"]["val"][0].update(file="../../secret.tar"),
    "a file of the machine": lambda c: c["splits"]["val"][0].update(file="/etc/passwd"),
    "an address for a file": lambda c: c["splits"]["val"][0].update(file="http://127.0.0.1:1/x.tar"),
    "a name that is none": lambda c: c["splits"]["val"][0].update(file=None),
    "a name with a NUL": lambda c: c["splits"]["val"][0].update(file="a\0.tar"),
    "images without end": lambda c: c["splits"]["val"][0].update(images=2**60),
    "fewer than no images": lambda c: c["splits"]["val"][0].update(images=-1),
    "images in words": lambda c: c["splits"]["val"][0].update(images="many"),
    "a length in words": lambda c: c["splits"]["val"][0].update(bytes="many"),
    "no digest": lambda c: c["splits"]["val"][0].update(sha256="x"),
    "an unknown key": lambda c: c["splits"]["val"][0].update(x=1),
    "splits that are none": lambda c: c.update(splits=3),
    "a split that is none": lambda c: c["splits"].update(val=None),
    "no spec": lambda c: c.update(spec=None),
    "a spec of nothing": lambda c: c["spec"].update(channels=0),
    "a spec in words": lambda c: c["spec"].update(levels="many"),
    "names that are none": lambda c: c.update(class_names=3),
}


@pytest.mark.parametrize("case", INDICES)
def test_a_hostile_index_is_one_line(case, folder, tmp_path, capsys):
    content = _index(folder)
    INDICES[case](content)
    (folder / "index.json").write_text(json.dumps(content))
    config = tmp_path / "x.yaml"
    data = {"class_path": "lightning_gen.data.streamed.ShardedImages", "init_args": {"root": str(folder)}}
    config.write_text(json.dumps({"data": data}))
    assert main(["pack", str(config), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["", "[]", "{", "\0", "[" * 100_000, '{"a": ' * 100_000])
def test_an_index_that_is_none_is_one_line(text, folder):
    (folder / "index.json").write_text(text)
    with pytest.raises(UserError, match=r"index.json"):
        ShardedImages(str(folder))


@pytest.mark.parametrize(
    "root", ["filecache::http://x", "simplecache::file:///etc", "ftp://x", "github://a:b@c/", "file:///etc"]
)
def test_an_address_that_wraps_another_is_refused(root):
    with pytest.raises(UserError, match="want a folder, or an address of http"):
        ShardedImages(root)


def _png(side=8, level=3):
    stream = io.BytesIO()
    Image.new("L", (side, side), level).save(stream, "PNG")
    return stream.getvalue()


def _packed(files):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


SHARDS = {
    "a label in words": [("0.png", _png()), ("0.cls", b"many")],
    "a label beyond the classes": [("0.png", _png()), ("0.cls", b"10")],
    "a label below them": [("0.png", _png()), ("0.cls", b"-1")],
    "a label of many digits": [("0.png", _png()), ("0.cls", b"9" * 10_000)],
    "attributes that are none": [("0.png", _png()), ("0.json", b"{}")],
    "attributes of words": [("0.png", _png()), ("0.json", b'{"attributes": ["a"]}')],
    "attributes without end": [("0.png", _png()), ("0.json", b"[" * 100_000)],
    "a text that is none": [("0.png", _png()), ("0.txt", b"\xff\xfe")],
    "a picture of another size": [("0.png", _png(side=9))],
    "a level beyond the levels": [("0.png", _png(level=200))],
    "no picture": [("0.cls", b"1")],
    "a picture that is none": [("0.png", b"x")],
    "a pickle": [("0.png", _png()), ("0.pkl", b"cos\nsystem\n(S'true'\ntR."), ("0.cls", b"x")],
    "a path that climbs": [("../../0.png", b"x")],
}


def _holes():
    """A tar file of 2 KB with a member of a terabyte of zeros."""
    entry, stream = tarfile.TarInfo("0.png"), io.BytesIO()
    entry.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(1 << 40)}
    entry.size = 1
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(entry, io.BytesIO(b"x"))
    return stream.getvalue()


SHARDS["holes"] = _holes()
SHARDS["a compressed one"] = gzip.compress(_packed([("0.png", bytes(1 << 22))]))


@pytest.mark.parametrize("case", SHARDS)
def test_a_hostile_shard_is_one_line(case, folder):
    content, shard = SHARDS[case], _index(folder)
    content = content if isinstance(content, bytes) else _packed(content)
    (folder / "val-000000.tar").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    shard["splits"]["val"] = [{"file": "val-000000.tar", "images": 1, "bytes": len(content), "sha256": digest}]
    (folder / "index.json").write_text(json.dumps(shard))
    with pytest.raises(UserError):
        list(ShardedImages(str(folder)).batches("val", 8))
