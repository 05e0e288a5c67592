"""The parser of every command but `fit`: its errors are one plain line, and it knows the arguments commands share."""

import argparse
import difflib
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from lightning_gen.config.trust import VARIABLE, grant
from lightning_gen.errors import IMAGE_LIMIT, SEED_LIMIT, UserError
from lightning_gen.files import check_target

__all__ = ["Arguments", "above_zero", "any_seed", "images_seen", "natural", "not_negative", "positive", "share"]


class Arguments(argparse.ArgumentParser):
    """An `argparse` parser of ``lightning-gen NAME`` that raises `UserError` where the user is wrong.

    Args:
        name: of the command.
        description: shown by ``--help``.
    """

    def __init__(self, name: str, description: str | None) -> None:
        super().__init__(prog=f"lightning-gen {name}", description=description, allow_abbrev=False)
        self._files: dict[str, tuple[str, ...]] = {}

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}{self._meant(message)}; see {self.prog} --help")

    def _meant(self, message: str) -> str:
        """What was meant by an argument that this command does not have, where one is near, also by its last part: that
        of ``--evaluation.samples`` of `fit` is ``--samples``."""
        wrong = re.match(r"unrecognized arguments: --([\w.-]+)", message)
        known = [option.removeprefix("--") for option in self._option_string_actions if option.startswith("--")]
        near = difflib.get_close_matches(wrong[1].rpartition(".")[2], known, 1) if wrong else []
        return f": want --{near[0]}?" if near else ""

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As in `argparse`; files to be written are checked, and packages named by ``--trust`` trusted from here on."""
        options = super().parse_args(args, namespace)
        for name, endings in self._files.items():
            if (path := getattr(options, name)) is not None:
                check_target(f"--{name}", path, *endings)
        grant(getattr(options, "trust", ()))
        return options

    def run(self) -> None:
        """Add ``RUN``, a run folder, and ``--checkpoint``, which of its checkpoints."""
        self.add_argument("run", type=Path, help="run folder")
        self.checkpoint()

    def checkpoint(self) -> None:
        """Add ``--checkpoint``, which one of a run."""
        self.add_argument("--checkpoint", choices=["last", "best"], default="last", help="which one of the run (last)")
        self.trust()

    def trust(self) -> None:
        """Add ``--trust``, a package whose classes the files that are read may name."""
        about = f"its classes may be built from files, beside ours; may be given again (as in {VARIABLE})"
        self.add_argument("--trust", metavar="PACKAGE", action="append", default=[], help=about)

    def file(self, name: str, *endings: str, help: str, required: bool = False) -> None:
        """Add ``--name FILE``, a file to be written; see `check_target`, which refuses it before the command begins."""
        self._files[name] = endings
        self.add_argument(f"--{name}", type=Path, metavar="FILE", required=required, help=help)

    def split(self) -> None:
        """Add ``--split``, which images of the data set."""
        self.add_argument("--split", choices=["train", "val", "test"], default="test", help="of the images (test)")

    def seed(self) -> None:
        """Add ``--seed``."""
        self.add_argument("--seed", type=any_seed, default=0, help="of all randomness (0)")


def _number(kind: Callable[[str], float], holds: Callable[[float], bool], wanted: str) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = float("nan")
        if not holds(value):
            raise argparse.ArgumentTypeError(f"{text!r} given: want {wanted}")
        return value

    return parse


#: parts, images or draws beyond this are a slip of the hand: no machine has the memory
_MOST = 10_000_000
#: a whole number, 1 or more
positive = _number(int, lambda value: 1 <= value <= _MOST, f"a whole number, 1 to {_MOST:,}")
#: a whole number, 0 or more
natural = _number(int, lambda value: 0 <= value <= _MOST, f"a whole number, 0 to {_MOST:,}")
#: images that a training sees
images_seen = _number(int, lambda value: 1 <= value <= IMAGE_LIMIT, f"a whole number, 1 to {IMAGE_LIMIT:,}")
#: of randomness
any_seed = _number(int, lambda value: 0 <= value <= SEED_LIMIT, f"a whole number, 0 to {SEED_LIMIT}")
#: a number above 0, such as a temperature
above_zero = _number(float, lambda value: 0 < value < math.inf, "a number above 0")
#: a number, 0 or more, such as the largest size of a component of noise
not_negative = _number(float, lambda value: 0 <= value < math.inf, "a number, 0 or more")
#: a part of a whole, or a probability
share = _number(float, lambda value: 0 <= value <= 1, "a number, 0 to 1")
