"""Files are read within bounds: no alias, reference, device or depth keeps a command busy."""

import json
import os
import zipfile

import pytest
import torch
import yaml
from safetensors.torch import save_file

from lightning_gen.config.cli import main
from lightning_gen.config.loading import load_data, load_module, read_checkpoint
from lightning_gen.config.reading import read_config
from lightning_gen.errors import UserError
from lightning_gen.reading import parse_yaml, read_text

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
DOUBLES = "a0: x\n" + "".join(f"a{i + 1}: ${{a{i}}}${{a{i}}}\n" for i in range(60))
TEXTS = {
    "aliases that multiply": (BOMB, "nested without end"),
    "an alias of itself": ("a: &a [*a]", "nested without end"),
    "depth": ("[" * 5000, "nested without end|cannot be read"),
    "braces": ("{a: " * 2000 + "1" + "}" * 2000, "nested without end|cannot be read"),
    "references that multiply": (DOUBLES, "references without end"),
    "a reference to itself": ("a: ${a}", "references without end"),
    "two that refer to each other": ("a: ${b}\nb: ${a}", "references without end"),
    "a reference to nothing": ("a: ${b.c}", "which is not in it"),
    "a reference to a section": ("a: ${b}\nb: {c: 1}", "no plain value"),
    "a function": ("a: ${oc.decode:x}", "which is not in it"),
    "a reference in a reference": ("a: ${oc.env:${b}}\nb: HOME", "which is not in it|want"),
    "an object": ("a: !!python/object/apply:os.system ['true']", "cannot be read"),
    "no YAML": ("a: [1", "cannot be read"),
    "a date that is none": ("a: 2026-99-99", "cannot be read"),
    "a control character": ("a: \x00", "cannot be read"),
    "a huge number": ("a: " + "9" * 10_000, "cannot be read"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_text_that_is_no_honest_configuration_is_one_line(case, tmp_path):
    text, words = TEXTS[case]
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(UserError, match=words) as caught:
        read_config(tmp_path / "x.yaml")
    assert "\n" not in str(caught.value)


def test_what_is_no_ordinary_file_is_one_line(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    (tmp_path / "large").write_bytes(b"#" * (1 << 21))
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\xff")
    for name in ("fifo", "zero", "folder", "large", "bytes", "nothing", "a\0b"):
        with pytest.raises(UserError, match=r"want|cannot be read"):
            read_text(tmp_path / name)


def test_references_give_values_with_their_types(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBER", "7")
    (tmp_path / "x.yaml").write_text("a: {b: 3}\nc: ${a.b}\nd: x${a.b}y\ne: ${oc.env:NUMBER}\nf: ${oc.env:NO_SUCH,z}\n")
    assert read_config(tmp_path / "x.yaml") == {"a": {"b": 3}, "c": 3, "d": "x3y", "e": "7", "f": "z"}
    assert parse_yaml("", "x") is None


@pytest.mark.parametrize("header", ["[" * 100_000, '{"model": ' * 50_000, "null", "3", '"x"', '{"model": {}}'])
def test_a_header_that_says_nothing_is_one_line(header, tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "x.safetensors", {"lightning_gen": header})
    with pytest.raises(UserError, match="want one that lightning-gen export wrote"):
        load_module(tmp_path / "x.safetensors")
    (tmp_path / "y.safetensors").write_bytes(header.encode())
    with pytest.raises(UserError, match="want one that lightning-gen export wrote"):
        load_module(tmp_path / "y.safetensors")


def test_a_compressed_checkpoint_is_refused_before_it_fills_the_memory(tmp_path):
    content = {"state_dict": {"a": torch.zeros(1 << 16)}, "hyper_parameters": {"_class_path": "x"}, "images_seen": 1}
    torch.save(content, tmp_path / "stored.ckpt")
    assert read_checkpoint(tmp_path / "stored.ckpt")["images_seen"] == 1
    with zipfile.ZipFile(tmp_path / "stored.ckpt") as stored, zipfile.ZipFile(tmp_path / "x.ckpt", "w", 8) as small:
        for name in stored.namelist():
            small.writestr(name, stored.read(name))
    assert torch.load(tmp_path / "x.ckpt", weights_only=True)["images_seen"] == 1  # PyTorch would read it
    with pytest.raises(UserError, match="cannot be read"):
        read_checkpoint(tmp_path / "x.ckpt")


def test_a_message_holds_nothing_that_a_terminal_obeys(tmp_path, capsys):
    assert main(["sample", str(tmp_path / "\x1b[2J")]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_a_run_from_elsewhere_downloads_nothing_outside(tmp_path, monkeypatch):
    fetched = []
    monkeypatch.setattr("lightning_gen.data.downloads.fetch", lambda name, root, download: fetched.append(str(root)))
    for root in (str(tmp_path / "far"), "../far", "~/far", "near"):
        data = {"class_path": "lightning_gen.data.downloads.MNIST", "init_args": {"root": root, "download": True}}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump({"data": data}))
        with pytest.raises(UserError):
            assert load_data(tmp_path / "config.yaml", of_run=True).fingerprint
    assert fetched == ["near"]
    assert not (tmp_path / "far").exists()


def test_a_bomb_in_a_run_folder_ends_its_command(tmp_path, capsys):
    (tmp_path / "checkpoints").mkdir()
    torch.save({"state_dict": {}, "hyper_parameters": {"_class_path": "x"}, "images_seen": 1}, tmp_path / "x")
    (tmp_path / "x").rename(tmp_path / "checkpoints" / "last.ckpt")
    (tmp_path / "config.yaml").write_text(BOMB)
    assert main(["evaluate", str(tmp_path)]) == 2
    assert main(["baselines", str(tmp_path / "config.yaml")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert json.dumps(sorted(path.name for path in tmp_path.iterdir())) == '["checkpoints", "config.yaml"]'
