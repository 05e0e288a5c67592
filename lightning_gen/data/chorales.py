"""Bars of Bach's chorales: real music without a file of one's own (``pip install 'lightning-gen[chorales]'``)."""

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import final

from torch import Tensor

from lightning_gen.contracts import Split
from lightning_gen.data.bars import Bars, say_once, tunes_by_split, what_was_found
from lightning_gen.data.folders import check_share
from lightning_gen.errors import UserError
from lightning_gen.music.chorales import chorale_paths, read_chorale
from lightning_gen.music.midi import Tune, UnusableError

__all__ = ["Chorales"]


@final
class Chorales(Bars):
    """The sopranos of Bach's chorales in 4/4 over the triads at their downbeats, from the corpus of music21. A piece is
    read in a quarter of a second, all of them in two minutes.

    Args:
        pieces: that are read, 10 to 410; those in other meters are left out, and counted on standard error.
        share: of the tunes, for each of val and test, above 0, below 0.5.
        split_seed: each value is another cut into splits.
        all_keys: see `Bars`, as are `batch_size`, `seed` and `on_device`.

    Raises:
        UserError: music21 is not installed.
    """

    def __init__(
        self,
        pieces: int = 410,
        share: float = 0.1,
        split_seed: int = 0,
        all_keys: bool = True,
        batch_size: int = 64,
        seed: int = 0,
        on_device: bool = True,
    ) -> None:
        check_share(share)
        if not 10 <= pieces <= 410:
            raise UserError(f"data.pieces is {pieces}: want 10 to 410")
        super().__init__(all_keys, batch_size, seed, on_device)
        self.pieces, self.share, self.split_seed = pieces, share, split_seed
        self.paths = chorale_paths()[:pieces]

    @property
    def name(self) -> str:  # type: ignore[override]
        return "chorales"

    @cached_property
    def _read(self) -> dict[str, Tune]:
        found, left_out = {}, Counter[str]()
        for path in self.paths:
            try:
                found[path.name] = read_chorale(path)
            except UnusableError as reason:
                left_out[str(reason)] += 1
        say_once(f"chorales: {what_was_found(found, left_out)}")
        return found

    def tunes(self) -> Mapping[Split, list[tuple[Tensor, Tensor, Tensor]]]:
        return tunes_by_split(self._read, self.share, self.split_seed)
