"""Two towers, one for pictures and one for captions, whose vectors are near where they belong together; and the tower
of captions as a text encoder that does not learn any more."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from lightning_gen.batches import Batch
from lightning_gen.errors import UserError, check_counts
from lightning_gen.images import ImageSpec, halvings, to_signed
from lightning_gen.nets.text.encoder import VocabularyEncoder
from lightning_gen.nets.text.recurrent import LearnedWords

__all__ = ["Sentences", "Towers", "load_towers"]

#: arguments of `Towers` that a checkpoint of their training records
_ARGUMENTS = ("features", "words", "length", "width")


@final
class Towers(nn.Module):
    """Pictures and captions -> vectors of length 1, (B, features).

    Args:
        spec: of the images; with captions.
        features: length of the vectors, 1 or more.
        words: that it knows at most, 1 or more.
        length: words of a caption that are read, 1 or more.
        width: channels of the first layer of the picture's tower, 1 or more.
    """

    def __init__(
        self, spec: ImageSpec, features: int = 64, words: int = 1024, length: int = 24, width: int = 24
    ) -> None:
        super().__init__()
        check_counts("model", width=width)
        self.spec = spec
        self.text = LearnedWords(spec, features, words, length)
        stages, channels = halvings(spec), width
        layers: list[nn.Module] = [nn.Conv2d(spec.channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
        for i in range(stages):
            out = width * min(4, 2 << i)
            layers += [nn.Conv2d(channels, out, 4, 2, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
            channels = out
        places = channels * (spec.height >> stages) * (spec.width >> stages)
        self.picture = nn.Sequential(*layers, nn.Flatten(1), nn.Linear(places, features))

    def of_pictures(self, image: Tensor) -> Tensor:
        """uint8 (B, C, H, W) -> (B, features)."""
        return normalize(self.picture(to_signed(image, self.spec.levels)).float(), dim=1)

    def of_texts(self, batch: Batch) -> Tensor:
        """Captions of a batch -> (B, features)."""
        vector = self.text.vector(batch)
        assert vector is not None
        return normalize(vector.float(), dim=1)


def load_towers(run: str) -> tuple[Towers, str]:
    """Read the towers of a finished run, in eval mode, and 8 hex digits of SHA-256 of the checkpoint's file.

    Args:
        run: run folder, or checkpoint file.

    Raises:
        UserError: there is no such checkpoint, or it is of no `TwoTowers`.
    """
    path = Path(run) if Path(run).is_file() else Path(run) / "checkpoints" / "last.ckpt"
    wanted = "want the folder of a run of configs/text/two_towers.yaml"
    if not path.is_file():
        raise UserError(f"towers are {run}, which has no checkpoint: {wanted}")
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        arguments, state = content["hyper_parameters"], {**content["state_dict"], **content.get("ema", {})}
        towers = Towers(
            ImageSpec.from_dict(arguments["spec"]), **{key: arguments[key] for key in _ARGUMENTS if key in arguments}
        )
        weights = {key.removeprefix("towers."): value for key, value in state.items() if key.startswith("towers.")}
        towers.load_state_dict(weights)
    except Exception as error:  # of a damaged file torch raises whatever its readers come up with
        raise UserError(f"towers are {run}, which cannot be read: {wanted}") from error
    return towers.eval().requires_grad_(False), hashlib.sha256(path.read_bytes()).hexdigest()[:8]


@final
class Sentences(VocabularyEncoder):
    """The tower of captions of another run, which does not learn any more. The run is read once, when training begins;
    from then on its weights are in the checkpoint, and the run is not needed.

    Args:
        spec: of the images; with captions.
        run: folder of a run of `models.two_towers.TwoTowers`, or its checkpoint.
        sha256: of the checkpoint's file, the first 8 hex digits (None: not looked at).
        features: length of the vector, as in that run.
        words: that it knows at most, as in that run.
        length: words of a caption that are read, as in that run.
    """

    def __init__(
        self,
        spec: ImageSpec,
        run: str,
        sha256: str | None = None,
        features: int = 64,
        words: int = 1024,
        length: int = 24,
    ) -> None:
        super().__init__(spec, words, length)
        self.run, self.sha256, self.features = run, sha256, features
        self.tower = LearnedWords(spec, features, words, length).requires_grad_(False)

    def encode(self, words: Tensor) -> Tensor:
        return normalize(self.tower.encode(words).float(), dim=1) * self.features**0.5  # a mean square of 1

    def learn(self, batches: Iterable[Batch]) -> None:
        super().learn(batches)
        towers, found = load_towers(self.run)
        if self.sha256 is not None and self.sha256[:8] != found:
            raise UserError(f"text.sha256 is {self.sha256[:8]}, the checkpoint of {self.run} has {found}")
        own = (self.features, self.words, self.length)
        theirs = (towers.text.features, towers.text.words, towers.text.length)
        if own != theirs:
            raise UserError(
                f"text has features, words and length {own}, the run {self.run} has {theirs}: want the same"
            )
        self.tower.load_state_dict(towers.text.state_dict())
        self.take_texts({"captions": self.captions, "vocabulary": towers.text.vocabulary})
