"""Bars of Bach's chorales: real music without a file of one's own (``pip install 'lightning-gen[chorales]'``)."""

from collections.abc import Iterator
from typing import Any, final

from lightning_gen.data.tunes import TuneFiles
from lightning_gen.errors import UserError
from lightning_gen.music.chorales import chorale_paths, read_chorale
from lightning_gen.music.midi import Tune

__all__ = ["Chorales"]


@final
class Chorales(TuneFiles):
    """The sopranos of Bach's chorales in 4/4 over the triads at their downbeats, from the corpus of music21. A piece is
    read in a quarter of a second, all of them in two minutes, once: the cache keeps what was read.

    Args:
        pieces: that are read, 10 to 410; those in other meters are left out, and counted on standard error. The other
            arguments are those of `TuneFiles`.

    Raises:
        UserError: music21 is not installed.
    """

    library = "music21"

    def __init__(self, pieces: int = 410, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 10 <= pieces <= 410:
            raise UserError(f"data.pieces is {pieces}: want 10 to 410")
        self.paths = {path.name: path for path in chorale_paths()[:pieces]}

    @property
    def name(self) -> str:  # type: ignore[override]
        return "chorales"

    @property
    def place(self) -> str:
        return f"data.pieces is {len(self.paths)}"

    def files(self) -> Iterator[tuple[str, bytes]]:
        for name, path in self.paths.items():
            yield name, path.read_bytes()

    def read(self, name: str, content: bytes) -> Tune:
        return read_chorale(self.paths[name])
