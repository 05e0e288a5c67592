"""What the page of faces shows, without the page: a code of a seed, steered by attributes, as pictures and files."""

import importlib.util
import io
import json
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lightning_gen.config.loading import load_run
from lightning_gen.evaluation.readers import attribute_reader
from lightning_gen.images import as_pictures
from lightning_gen.tasks.common.axes import Axes, axes_hash, load_axes
from lightning_gen.tasks.common.axis_path import AxisPath, Node, look
from lightning_gen.tasks.common.code_space import CodeSpace
from lightning_gen.tasks.common.own_picture import Found, find_code, style_encoder

__all__ = ["PAGE", "Portrait", "Studio", "as_gif", "as_mp4", "as_png", "state_of"]

#: script of the page
PAGE = Path(__file__).parents[1] / "faces_page.py"
#: about so many pixels on a side of what is shown
_SIDE = 320

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass
class Portrait:
    """One picture and how it came about.

    Args:
        seed: of its code.
        truncation: share of the code's distance from the mean.
        wanted: value of each attribute that was moved, in its unit; the one that was moved last comes last.
        locked: attributes that are held.
        unnamed: standard deviations along directions without a name, by their place.
        own: digest of a picture of the user's own that is steered; empty: that of the seed. A link does not bring it.
    """

    seed: int = 0
    truncation: float = 0.7
    wanted: dict[str, float] = field(default_factory=dict)
    locked: list[str] = field(default_factory=list)
    unnamed: dict[int, float] = field(default_factory=dict)
    own: str = ""

    def as_json(self) -> str:
        """The state as JSON, from which `state_of` makes the same."""
        return json.dumps(vars(self))


def state_of(text: str, names: list[str]) -> Portrait:
    """Read what `Portrait.as_json` wrote; whatever does not fit is left out, since links come from anywhere."""
    try:
        given = json.loads(text[:10_000])
        seed, truncation = int(given["seed"]), float(given["truncation"])
        wanted = {str(k): float(v) for k, v in given["wanted"].items() if k in names}
        locked = [str(name) for name in given["locked"] if name in names]
        unnamed = {int(k): float(v) for k, v in given.get("unnamed", {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Portrait()
    numbers = [truncation, *wanted.values(), *unnamed.values()]
    if not all(map(math.isfinite, numbers)) or not 0 <= seed < 2**32:
        return Portrait()
    return Portrait(seed, min(max(truncation, 0.0), 1.5), wanted, locked, unnamed)


class Studio:
    """A run with its reader and axes. What was made and read is kept, so that a slider costs what is new alone.

    Args:
        run: folder.
        checkpoint: which of it.
        label: class of all images, of a model that is conditioned on classes.
    """

    def __init__(self, run: Path, checkpoint: str, label: int | None = None) -> None:
        module, self.data = load_run(run, checkpoint)
        self.space, self.reader = CodeSpace(module, label), attribute_reader(self.data)
        self.folder = run / "axes"
        self.axes: Axes = load_axes(self.folder, axes_hash(self.space, self.reader))
        self._looked: dict[bytes, Node] = {}
        self._paths: dict[tuple[bytes, int, tuple[int, ...]], AxisPath] = {}
        #: pages of several windows share this
        self._busy = threading.RLock()

    def index(self, name: str) -> int:
        """Place of an attribute."""
        return self.axes.names.index(name)

    def start(self, portrait: Portrait, own: Tensor | None = None) -> Node:
        """The picture before any attribute is moved: of the seed, or the user's own."""
        code = self.space.draw(1, portrait.seed, portrait.truncation)[0] if own is None else own
        for place, way in portrait.unnamed.items():
            if 0 <= place < len(self.axes.unnamed):
                code = code + way * self.axes.unnamed[place]
        key = code.numpy().tobytes()
        return _kept(self._looked, key, lambda: look(self.space, self.reader, code[None])[0])

    def measured(self, node: Node) -> dict[str, float]:
        """What is read off a picture, by attribute."""
        return dict(zip(self.axes.names, self.reader.values(node.scores).tolist(), strict=True))

    def path(self, portrait: Portrait, start: Node, name: str) -> AxisPath:
        """The path of one attribute after all others that are wanted have been moved; those and the locked ones are
        held."""
        others = {k: v for k, v in portrait.wanted.items() if k != name}
        before = self.steered(replace(portrait, wanted=others), start)
        held = [*others, *(k for k in portrait.locked if k not in others and k != name)]
        return self._path(before, name, held)

    def steered(self, portrait: Portrait, start: Node) -> Node:
        """The picture after all attributes that are wanted have been moved, one after the other."""
        held = [name for name in portrait.locked if name not in portrait.wanted]
        for name, value in portrait.wanted.items():
            with self._busy:
                start = self._path(start, name, held).at(self._score(name, value))
            held = [name, *held]
        return start

    def follow(self, path: AxisPath) -> bool:
        """Follow a path by one step; False where it has ended both ways."""
        with self._busy:
            return path.extend(-1) or path.extend(1)

    def met(self, portrait: Portrait, name: str, node: Node) -> bool:
        """Whether the value that is wanted of an attribute is read off a picture, within a tenth of a standard
        deviation."""
        off = self._score(name, portrait.wanted[name]) - float(node.scores[self.index(name)])
        return abs(off) <= 0.1 * float(self.axes.scale[self.index(name)])

    def _score(self, name: str, value: float) -> float:
        values = torch.zeros(len(self.axes.names))
        values[self.index(name)] = value
        return float(self.reader.score_of(values)[self.index(name)])

    def _path(self, start: Node, name: str, held: Sequence[str]) -> AxisPath:
        index, locked = self.index(name), tuple(sorted(self.index(one) for one in held))
        key = (start.code.numpy().tobytes(), index, locked)
        return _kept(self._paths, key, lambda: AxisPath(self.space, self.reader, self.axes, start, index, locked))

    def pictures(self, codes: Tensor) -> list[np.ndarray]:
        """(N, K) -> N pictures for people, as `enlarged`."""
        return self.enlarged(self.space.images(codes))

    def enlarged(self, images: Tensor) -> list[np.ndarray]:
        """uint8 (N, C, H, W) -> N pictures for people, uint8 (H', W', 3), enlarged by whole pixels."""
        shown = as_pictures(images, self.data.spec).permute(0, 2, 3, 1)
        factor = max(1, _SIDE // max(shown.shape[1:3]))
        return list(shown.repeat_interleave(factor, 1).repeat_interleave(factor, 2).numpy())

    def find(self, image: Tensor) -> Found:
        """The code whose picture is near uint8 (C, H, W); the first time an encoder is trained."""
        return find_code(self.space, image, lambda: style_encoder(self.space))

    def way(self, a: Tensor, b: Tensor, steps: int = 16) -> list[np.ndarray]:
        """Pictures from one code to another and back."""
        there = torch.linspace(0, 1, steps)[:, None]
        frames = self.pictures(a + there * (b - a))
        return frames + frames[-2:0:-1]

    def about(self) -> dict[str, Any]:
        """What is known of the axes: names, errors of the reader, leakage, ranges."""
        return self.axes.about


def _kept(store: dict[Key, Value], key: Key, make: Callable[[], Value]) -> Value:
    """Give what was made for a key, the last 64 of them."""
    found = store.pop(key, None)
    store[key] = make() if found is None else found  # the newest is last
    while len(store) > 64:
        store.pop(next(iter(store)), None)
    return store[key]


def as_png(picture: np.ndarray) -> bytes:
    """uint8 (H, W, 3) -> a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="PNG")
    return stream.getvalue()


def as_gif(frames: list[np.ndarray]) -> bytes:
    """An endless animation, 12 frames a second."""
    first, *rest = [Image.fromarray(frame) for frame in frames]
    stream = io.BytesIO()
    first.save(stream, format="GIF", save_all=True, append_images=rest, duration=83, loop=0)
    return stream.getvalue()


def as_mp4(frames: list[np.ndarray]) -> bytes | None:
    """The frames twice over as a film, 12 frames a second; None where imageio-ffmpeg is not installed."""
    if importlib.util.find_spec("imageio_ffmpeg") is None or importlib.util.find_spec("imageio") is None:
        return None
    from imageio import v3

    return bytes(v3.imwrite("<bytes>", np.stack(frames * 2), extension=".mp4", plugin="FFMPEG", fps=12))
