"""The image spec, and the only place in the project that scales pixels.

Images travel as uint8 (B, C, H, W) with values 0..levels-1. Three scalings exist, and no other:

    signed   [-1, 1]   what networks see; level 0 is -1, level levels-1 is +1
    unit     [0, 1)    what flows see: (image + u) / levels with u in [0, 1), a level is a bin of width 1/levels
    display  0..255    what people see
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_gen.errors import UserError
from lightning_gen.music.roll import piano_rolls

__all__ = [
    "ImageSpec",
    "as_pictures",
    "draw_density",
    "from_signed",
    "from_unit",
    "grid",
    "halvings",
    "label_map",
    "to_display",
    "to_signed",
    "to_unit",
]


class ImageSpec:
    """What an image of a data set is: everything a model needs to know to be built.

    Args:
        channels: 1 for grey, 3 for colour.
        height: pixels.
        width: pixels.
        levels: number of grey levels per channel, 2..256; pixel values are 0..levels-1. Bits/dim is honest only
            when this is the true number (17 for the 8x8 digits, 2 for binarised pictures).
        classes: number of classes of `label`, 0 where the set has none.
        attributes: length A of the `attributes` vector, 0 where the set has none.
        source: spec of the image that this one is made from, such as a label map or a smaller picture; None where the
            set has none.
        text: whether captions come with the images.
        palette: of a label map: RGB, 0..255, of each class. With one channel a pixel's level is its class, with more
            the channel that is 1 (levels 2, one-hot). None: the image is no label map.
        notation: whether the image is a bar of melody, see `music.notation`; shown as a piano roll.
    """

    # Neither a dataclass nor @final: the configuration library takes those apart into required arguments.
    def __init__(
        self,
        channels: int,
        height: int,
        width: int,
        levels: int = 256,
        classes: int = 0,
        attributes: int = 0,
        source: "ImageSpec | None" = None,
        text: bool = False,
        palette: "Sequence[Sequence[int]] | None" = None,
        notation: bool = False,
    ) -> None:
        self.channels, self.height, self.width = channels, height, width
        self.levels, self.classes, self.attributes = levels, classes, attributes
        self.source, self.text, self.notation = source, text, notation
        for name in ("channels", "height", "width"):
            if getattr(self, name) < 1:
                raise UserError(f"spec.{name} is {getattr(self, name)}: want at least 1")
        if not 2 <= levels <= 256:
            raise UserError(f"spec.levels is {levels}: want 2 to 256 (uint8 pixels)")
        self.palette = None if palette is None else tuple(tuple(colour) for colour in palette)
        if self.palette is not None:
            self._check_palette(self.palette)

    def _check_palette(self, palette: tuple[tuple[int, ...], ...]) -> None:
        classes = self.levels if self.channels == 1 else self.channels
        if len(palette) != classes or (self.channels > 1 and self.levels != 2):
            raise UserError(f"spec.palette has {len(palette)} colours: want one per class, {classes} for {self}")
        wrong = [c for c in palette if len(c) != 3 or not all(isinstance(v, int) and 0 <= v <= 255 for v in c)]
        if wrong:
            raise UserError(f"spec.palette has the colour {list(wrong[0])}: want three numbers, 0 to 255")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, from which `from_dict` makes the same spec."""
        return {key: value.as_dict() if isinstance(value, ImageSpec) else value for key, value in vars(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ImageSpec":
        """The inverse of `as_dict`."""
        source = values.get("source")
        return cls(**{**values, "source": cls.from_dict(source) if isinstance(source, dict) else source})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ImageSpec) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(tuple(vars(self).values()))

    def __repr__(self) -> str:
        given = {key: value for key, value in vars(self).items() if value is not None and value is not False}
        return f"ImageSpec({', '.join(f'{key}={value!r}' for key, value in given.items())})"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.channels, self.height, self.width

    @property
    def dims(self) -> int:
        """C*H*W, the number that bits/dim divides by."""
        return self.channels * self.height * self.width

    def alone(self) -> "ImageSpec":
        """The same image without what comes with it, a source or captions."""
        return ImageSpec(*self.shape, self.levels, self.classes, self.attributes, palette=self.palette)

    def reversed(self) -> "ImageSpec":
        """Swap image and source: the spec of the way back of a translation.

        Raises:
            UserError: there is no source.
        """
        if self.source is None:
            raise UserError("data has no source images: a translation wants a set with sources")
        image = ImageSpec(*self.shape, self.levels, palette=self.palette)
        return ImageSpec(*self.source.shape, self.source.levels, source=image, palette=self.source.palette)

    def fits(self, other: "ImageSpec") -> bool:
        """Whether images of one are images of the other: equal shape, levels and palette, made from the same kind of
        source."""
        if (self.source is None) != (other.source is None):
            return False
        same_source = self.source is None or other.source is None or self.source.fits(other.source)
        alike = (self.shape, self.levels, self.palette) == (other.shape, other.levels, other.palette)
        return same_source and alike

    def check(self, image: Tensor) -> None:
        """Raise where `image` is not uint8 (B, C, H, W) of this spec: a range mix-up becomes an error here."""
        if image.dtype != torch.uint8:
            raise UserError(f"image has dtype {image.dtype}: want torch.uint8 with values 0..{self.levels - 1}")
        if tuple(image.shape[1:]) != self.shape:
            raise UserError(f"image has shape {tuple(image.shape)}: want (B, {', '.join(map(str, self.shape))})")

    def __str__(self) -> str:
        return f"{self.channels}x{self.height}x{self.width}, {self.levels} levels"


def halvings(spec: ImageSpec, above: int = 4, most: int | None = None) -> int:
    """Count how often both sides of an image can be halved: while both are even and above `above` pixels, at most
    `most` times. With the defaults the smaller side ends at 4 to 7 pixels, or an odd number."""
    count, sides = 0, (spec.height, spec.width)
    while count != most and all((side >> count) % 2 == 0 and side >> count > above for side in sides):
        count += 1
    return count


def to_signed(image: Tensor, levels: int) -> Tensor:
    """uint8 levels -> float [-1, 1]."""
    return image.float() * (2.0 / (levels - 1)) - 1.0


def from_signed(x: Tensor, levels: int) -> Tensor:
    """float [-1, 1] -> uint8 levels, rounded to the nearest and clamped."""
    return ((x.float() + 1.0) * ((levels - 1) / 2.0)).round().clamp(0, levels - 1).to(torch.uint8)


def to_unit(image: Tensor, levels: int, noise: Tensor | float = 0.5) -> Tensor:
    """uint8 levels -> float [0, 1): (image + noise) / levels, noise in [0, 1) of its shape (0.5: bin centres).

    `from_unit` undoes it whatever the noise: where rounding would reach another level, or 1, the value stays inside.
    """
    level = image.float()
    x = (level + noise) / levels
    if isinstance(noise, float):
        return x
    edge = 2.0**-22  # three roundings of 2^-24 each lie between here and the floor of `from_unit`
    return x.clamp(level / levels * (1.0 + edge), (level + 1.0) / levels * (1.0 - edge))


def from_unit(x: Tensor, levels: int) -> Tensor:
    """float [0, 1) -> uint8 levels: the bin each value falls in; values outside are clamped to the edge bins."""
    return (x * levels).floor().clamp(0, levels - 1).to(torch.uint8)


def to_display(image: Tensor, levels: int) -> Tensor:
    """uint8 levels -> uint8 0..255."""
    if levels == 256:
        return image
    return (image.float() * (255.0 / (levels - 1))).round().to(torch.uint8)


def as_pictures(image: Tensor, spec: ImageSpec, size: tuple[int, int] | None = None) -> Tensor:
    """Make images of any number of channels comparable side by side.

    Args:
        image: uint8 (B, C, h, w). A bar of melody is a piano roll of 72x64. A label map has the colours of its palette,
            one channel is grey, three are colours; any other number is shown by which channel is the
            largest, in shades of grey.
        spec: of the image; its height and width may be others.
        size: (H, W) to enlarge or shrink to, by the nearest pixel (None: as it is).

    Returns:
        uint8 (B, 3, H, W), values 0..255.
    """
    if spec.notation:
        shown = piano_rolls(image)
    elif spec.palette is not None:
        shown = torch.tensor(spec.palette, dtype=torch.uint8, device=image.device)[label_map(image)].permute(0, 3, 1, 2)
    elif spec.channels in (1, 3):
        shown = to_display(image, spec.levels)
    else:
        shades = torch.linspace(0, 255, spec.channels, device=image.device).round().to(torch.uint8)
        shown = shades[image.argmax(1, keepdim=True)]  # (B, 1, h, w)
    if size is None:
        return shown.expand(-1, 3, -1, -1)
    rows, columns = (
        torch.arange(new, device=image.device) * old // new for new, old in zip(size, shown.shape[2:], strict=True)
    )
    return shown[:, :, rows[:, None], columns].expand(-1, 3, -1, -1)


def label_map(image: Tensor) -> Tensor:
    """Read the classes of label maps, uint8 (B, C, H, W) -> int64 (B, H, W): the level of one channel, the largest of
    several."""
    return image[:, 0].long() if image.shape[1] == 1 else image.argmax(1)


def grid(image: Tensor, levels: int, columns: int = 8, cell: int = 64, gap: int = 2) -> Tensor:
    """Arrange images as one picture for people.

    Args:
        image: uint8 (B, C, H, W), C in {1, 3}.
        levels: of the image.
        columns: images per row.
        cell: each image is enlarged by a whole factor, without smoothing, to about this many pixels.
        gap: pixels of white between images.

    Returns:
        uint8 (rows', columns', 3), values 0..255.
    """
    shown = to_display(image.detach().cpu(), levels)
    if shown.shape[1] == 1:
        shown = shown.expand(-1, 3, -1, -1)
    factor = max(1, cell // max(shown.shape[2:]))
    shown = shown.repeat_interleave(factor, 2).repeat_interleave(factor, 3).permute(0, 2, 3, 1)
    count, height, width, _ = shown.shape
    rows = -(-count // columns)
    canvas = shown.new_full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 255)
    for i, picture in enumerate(shown):
        top, left = gap + (i // columns) * (height + gap), gap + (i % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = picture
    return canvas


def draw_density(density: Tensor, cell: int = 4) -> Tensor:
    """A picture of a density over (x, y), x to the right and y upwards; dark is likely.

    Args:
        density: (L, L), 0 or more, such as `ImageData.probabilities` or a histogram of samples.
        cell: pixels per level.

    Returns:
        uint8 (L*cell, L*cell), values 0..255.
    """
    shade = 255 * (1 - (density / density.max()).double().sqrt())  # the root shows the faint parts too
    picture = shade.round().to(torch.uint8).T.flip(0)
    return picture.repeat_interleave(cell, 0).repeat_interleave(cell, 1)
