"""Bars of melody as images."""

from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.music.notation import CHORDS, STEPS, SYMBOLS

__all__ = ["check_bars"]


def check_bars(spec: ImageSpec, who: str, chords: bool = False) -> None:
    """Raise where the images of `spec` are no bars, or, with `chords`, bars without chords; `who` wants them."""
    fits = (spec.shape, spec.levels) == ((1, 1, STEPS), SYMBOLS)
    if not fits or (chords and spec.classes != len(CHORDS)):
        wanted = "bars of melody with chords" if chords else "bars of melody"
        raise UserError(f"data has images of {spec}: {who} wants {wanted}, e.g. ToyMelodies")
