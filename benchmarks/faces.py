"""What does a slider of the page of faces cost, beside one picture of the model? Needs a run with axes; no browser.

    python -m benchmarks.faces RUN      # prints a table, writes results/faces.json

picture     one picture made and read
followed    a slider moved on a picture whose path has been followed, as the page does when it is idle: code, readings,
            both pictures as PNG
first       the same on a picture that is new, four tenths of a standard deviation away
"""

import argparse
import random
from pathlib import Path

import torch

from benchmarks.interleave import interleave, record
from lightning_gen.tasks.common.axis_path import look
from lightning_gen.tasks.common.portrait import Portrait, Studio, as_png


class Moves:
    """Moves of the first slider that may be locked against the others.

    Args:
        run: folder with axes.
    """

    def __init__(self, run: Path) -> None:
        self.studio, self.chance, self.seed = Studio(run, "last"), random.Random(0), 0
        self.name = self.studio.axes.controls[0]
        self.others = self.studio.axes.controls[1:4]

    def picture(self) -> None:
        self.seed += 1
        look(self.studio.space, self.studio.reader, self.studio.space.draw(1, self.seed, 0.7))

    def followed(self) -> None:
        start = self.studio.start(Portrait(0))
        path = self.studio.path(Portrait(0, locked=self.others), start, self.name)
        while self.studio.follow(path):  # in the warm-up alone
            pass
        low, high = (self.studio.measured(path.nodes[end])[self.name] for end in (0, -1))
        self._shown(Portrait(0, wanted={self.name: self.chance.uniform(low, high)}, locked=self.others))

    def first(self) -> None:
        self.seed += 1
        start = self.studio.start(Portrait(self.seed))
        score = start.scores + 0.4 * self.studio.axes.scale
        value = float(self.studio.reader.values(score)[self.studio.index(self.name)])
        self._shown(Portrait(self.seed, wanted={self.name: value}, locked=self.others))

    def _shown(self, portrait: Portrait) -> None:
        start = self.studio.start(portrait)
        after = self.studio.steered(portrait, start)
        self.studio.measured(after)
        for picture in self.studio.enlarged(torch.stack([start.image, after.image])):
            as_png(picture)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    moves = Moves(options.run)
    cases = {"picture": moves.picture, "followed": moves.followed, "first": moves.first}
    about = {"model": type(moves.studio.space.module).__name__, "size": list(moves.studio.data.spec.shape)}
    record("faces", interleave(cases, options.repeats), "picture", about)


if __name__ == "__main__":
    main()
