"""One side of a pair, as the pictures of its files are read: a photo, or a label map in colours."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Literal, final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lightning_gen.data.palette import Colours, classes_of, find_palette
from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec

__all__ = ["LabelMap", "Photo", "Side", "read_as"]

#: label maps whose colours are looked at
SEARCHED = 200


class Side(ABC):
    """What the pictures of one side of a pair become."""

    def learn(self, pictures: Iterable[Image.Image]) -> None:  # noqa: B027
        """Learn what must be known of the training pictures, such as their colours; at most `SEARCHED` are taken."""

    @abstractmethod
    def spec(self, height: int, width: int) -> ImageSpec:
        """Describe the images of this side; after `learn`."""

    @abstractmethod
    def __call__(self, picture: Image.Image, height: int, width: int, name: str) -> Tensor:
        """A picture -> uint8 (C, height, width); raises `UserError` where it is not of this kind."""


@final
class Photo(Side):
    """Any picture, resized (bicubic, antialiased).

    Args:
        channels: 1 makes grey (ITU-R 601 luma), 3 makes RGB.
    """

    def __init__(self, channels: Literal[1, 3] = 3) -> None:
        if channels not in (1, 3):
            raise UserError(f"data.side.channels is {channels}: want 1 or 3")
        self.channels = channels

    def spec(self, height: int, width: int) -> ImageSpec:
        return ImageSpec(self.channels, height, width)

    def __call__(self, picture: Image.Image, height: int, width: int, name: str) -> Tensor:
        picture = picture.convert("L" if self.channels == 1 else "RGB")
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.BICUBIC)
        return _tensor(picture)


@final
class LabelMap(Side):
    """A label map in colours, as one channel per class: 1 at the pixels of the class, 0 elsewhere. Each pixel has the
    class of the nearest colour; resized by the nearest pixel.

    Args:
        palette: RGB, 0..255, of each class, 2 to 256 (None: found in the training maps).
        limit: on the number of colours found.
    """

    def __init__(self, palette: Sequence[Sequence[int]] | None = None, limit: int = 64) -> None:
        if not 2 <= limit <= 256:
            raise UserError(f"data.side.limit is {limit}: want 2 to 256 colours")
        self.colours: Colours | None = None if palette is None else tuple(tuple(colour) for colour in palette)
        self.limit = limit
        if self.colours is not None:
            if not 2 <= len(self.colours) <= 256:
                raise UserError(f"data.side.palette has {len(self.colours)} colours: want 2 to 256")
            if len(set(self.colours)) < len(self.colours):
                raise UserError("data.side.palette has one colour twice: want a colour per class")
            self.spec(1, 1)

    def learn(self, pictures: Iterable[Image.Image]) -> None:
        if self.colours is None:
            self.colours = find_palette(pictures, self.limit)

    def spec(self, height: int, width: int) -> ImageSpec:
        assert self.colours is not None
        return ImageSpec(len(self.colours), height, width, levels=2, palette=self.colours)

    def __call__(self, picture: Image.Image, height: int, width: int, name: str) -> Tensor:
        assert self.colours is not None
        classes = Image.fromarray(classes_of(picture, self.colours, name))
        if classes.size != (width, height):
            classes = classes.resize((width, height), Image.Resampling.NEAREST)
        return _one_hot(np.asarray(classes), len(self.colours))


def read_as(picture: Image.Image, spec: ImageSpec, name: str) -> Tensor:
    """Read a picture as the images of `spec` are, at its own size.

    Args:
        picture: of mode L or RGB, as `decode.open_picture` gives it.
        spec: its height and width do not count.
        name: of the picture, for the message.

    Returns:
        uint8 (C, h, w), values 0..levels-1.

    Raises:
        UserError: the picture is no label map of the palette; or no picture file has so many channels.
    """
    if spec.palette is not None:
        classes = classes_of(picture, spec.palette, name)
        return torch.from_numpy(classes)[None] if spec.channels == 1 else _one_hot(classes, spec.channels)
    if spec.channels not in (1, 3):
        raise UserError(f"picture {name} has 1 or 3 channels, the model {spec.channels}: want a batch from Python")
    image = _tensor(picture.convert("L" if spec.channels == 1 else "RGB"))
    return image if spec.levels == 256 else (image.int() * spec.levels // 256).to(torch.uint8)


def _tensor(picture: Image.Image) -> Tensor:
    pixels = np.array(picture)
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).permute(2, 0, 1).contiguous()


def _one_hot(classes: np.ndarray, count: int) -> Tensor:
    return torch.from_numpy((classes[None] == np.arange(count)[:, None, None]).astype(np.uint8))
