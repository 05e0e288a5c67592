"""A grid of pictures whose rows carry the sentence that they were made of."""

import textwrap
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["with_captions"]

#: pixels of the margin, of a line, and characters in a line
_MARGIN, _LINE, _CHARACTERS = 176, 13, 27


def with_captions(picture: Tensor, texts: Sequence[str]) -> Tensor:
    """Put a margin with a text for each row to the left of a picture.

    Args:
        picture: uint8 (H, W, 3), rows of equal height.
        texts: one for each row; what does not fit is cut, and ends in dots.

    Returns:
        uint8 (H, W + margin, 3).
    """
    from PIL import Image, ImageDraw, ImageFont

    height = picture.shape[0] // len(texts)
    margin = Image.new("RGB", (_MARGIN, picture.shape[0]), "white")
    pen, font = ImageDraw.Draw(margin), ImageFont.load_default(size=_LINE - 2)
    for row, text in enumerate(texts):
        lines = textwrap.wrap(
            " ".join(text.split()), _CHARACTERS, max_lines=max(1, height // _LINE), placeholder=" ..."
        )
        top = row * height + max(0, (height - _LINE * len(lines)) // 2)
        for i, line in enumerate(lines or ["(no words)"]):
            pen.text((4, top + i * _LINE), line, fill="black", font=font)
    return torch.cat([torch.from_numpy(np.array(margin)), picture.cpu()], 1)
