"""Run folders with damage or an ill will in them: seeded, so that every one can be made again."""

import io
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

from tests.config.mutation import mutated

__all__ = ["SETTINGS", "Folder"]

SETTINGS = ("config.yaml", "run.json", "metrics.jsonl", "evaluations.jsonl", "neighbours.json")
_BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
_TEXTS = [
    *("", " ", "\0", "[", "{}", "[]", "null", "3", '"x"', "NaN", "[" * 5000, '{"a": ' * 5000, _BOMB, "a: &a [*a]"),
    *("9" * 5000, "a: 0x" + "f" * 9000, '{"images_seen": 1e400}', '{"images_seen": -1}', '{"images_seen": true}'),
    *('{"images_seen": 5, "\x1b[2J": 1}', '{"images_seen": 5, "a": "\\ud800"}', "a: !!python/object:os.system {}"),
    *('{"images_seen": 5, "metrics": []}', '{"images_seen": 5, "metrics": {"a": {"identity": {}, "value": "x"}}}'),
    *("{1: 2, null: 3, 2026-01-01: [!!binary aGk=, !!set {a, b}]}", "x" * 100_000, "\ufeff{}", "{} {}", "a\r\nb"),
]
_HEADS = (b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"%!PS-Adobe", b"PK\x03\x04", b"\xff\xd8\xff", b"BM", b"II*\0")


class Folder:
    """A run folder that is changed and brought back.

    Args:
        path: of the folder; what it holds now is what `restore` brings back.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = {file.relative_to(path): file.read_bytes() for file in path.rglob("*") if file.is_file()}
        self.checkpoint = torch.load(path / "checkpoints" / "last.ckpt", weights_only=True)

    def restore(self) -> None:
        """Undo every change."""
        shutil.rmtree(self.path)
        for name, content in self.files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_bytes(content)

    def change(self, source: random.Random) -> str:
        """Change one to three files; returns what was done."""
        return "; ".join(self._one(source) for _ in range(source.choice((1, 1, 2, 3))))

    def _one(self, source: random.Random) -> str:
        name = source.choice(sorted(self.files)) if source.random() < 0.4 else Path(source.choice(SETTINGS))
        kinds: list[Callable[[Path, random.Random], Any]] = [self._bytes, self._bytes, self._odd]
        kinds += [self._values] * 4 if name.suffix in (".yaml", ".json", ".jsonl", ".ckpt") else []
        kinds += [self._text] * 2 if name.name in SETTINGS else []
        kind = source.choice(kinds)
        kind(self.path / name, source)
        return f"{kind.__name__} {name}"

    def _bytes(self, path: Path, source: random.Random) -> None:
        """Cut, turn over, double or fill some bytes, or begin as another format does."""
        content = bytearray(self._content(path))
        begin = source.randrange(len(content) + 1)
        end = min(len(content), begin + source.choice((1, 4, 100, 10_000)))
        part = content[begin:end]
        noise = source.randbytes(len(part))
        new = source.choice((b"", noise, part * 3, b"\0" * len(part), bytes(255 - byte for byte in part)))
        whole = bytes(content[:begin] + new + content[end:]) if source.random() < 0.7 else bytes(content[:begin])
        self._write(path, source.choice(_HEADS) + whole[8:] if source.random() < 0.1 else whole)

    def _text(self, path: Path, source: random.Random) -> None:
        line = source.choice(_TEXTS).encode("utf-8", "surrogatepass")
        old = self._content(path)
        self._write(path, source.choice((line, old + line + b"\n", line + b"\n" + old)))

    def _values(self, path: Path, source: random.Random) -> None:
        if not path.is_file():
            return
        if path.suffix == ".ckpt":
            plain = {key: self.checkpoint[key] for key in self.checkpoint if key not in ("state_dict", "ema")}
            stream = io.BytesIO()
            torch.save({**self.checkpoint, **_kept(mutated(plain, source))}, stream)
            self._write(path, stream.getvalue())
        elif path.suffix == ".yaml":
            self._write(path, yaml.safe_dump(mutated(yaml.safe_load(self.files[Path(path.name)]), source)).encode())
        else:
            lines = self.files[Path(path.name)].decode().split("\n") if path.suffix == ".jsonl" else None
            rows = [json.loads(line) for line in lines if line] if lines else json.loads(self.files[Path(path.name)])
            changed = mutated({"rows": rows}, source).get("rows", [])
            text = "\n".join(map(_json, changed)) if lines and isinstance(changed, list) else _json(changed)
            self._write(path, text.encode("utf-8", "surrogatepass"))

    def _odd(self, path: Path, source: random.Random) -> None:
        """Something else where a file was: nothing, a folder, a pipe, a device, a link that leads out."""
        self._remove(path)
        kind = source.choice(("nothing", "folder", "pipe", "device", "out", "nowhere", "itself", "large"))
        if kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "large":
            with open(path, "wb") as stream:
                stream.truncate(1 << 40)
        elif kind != "nothing":
            places = {"device": "/dev/zero", "out": "/etc/hosts", "nowhere": "/nowhere/x", "itself": path.name}
            path.symlink_to(places[kind])

    @staticmethod
    def _content(path: Path) -> bytes:
        return path.read_bytes() if path.is_file() and path.stat().st_size < 1 << 24 else b""

    def _write(self, path: Path, content: bytes) -> None:
        self._remove(path)
        path.write_bytes(content)

    @staticmethod
    def _remove(path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _json(value: Any) -> str:
    return json.dumps(value, default=str, skipkeys=True)


def _kept(value: Any) -> Any:
    """What a checkpoint that is read with weights_only may hold."""
    if isinstance(value, dict):
        return {key: _kept(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_kept(item) for item in value)
    return value if value is None or isinstance(value, bool | int | float | str | torch.Tensor) else str(value)
