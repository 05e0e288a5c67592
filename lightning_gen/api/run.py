"""A run from Python: what it says, and what its model does."""

import time
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from lightning_gen.api.conditions import labels, of_sentences, padded
from lightning_gen.api.images import Images
from lightning_gen.api.measurements import Measurements, html_table
from lightning_gen.batches import Batch, join, select_rows, to_device, without_image
from lightning_gen.config.loading import checkpoint_path, load_fitting, load_module, load_section
from lightning_gen.config.trust import trusting
from lightning_gen.contracts import (
    CompletionModule,
    GenerativeModule,
    ImageData,
    ImageModule,
    LatentModule,
    LikelihoodModule,
    ReconstructionModule,
    Split,
    TranslationModule,
)
from lightning_gen.errors import UserError, check_counts
from lightning_gen.evaluation.collection import BLOCK, sample_block, seeded
from lightning_gen.evaluation.protocol import Evaluation
from lightning_gen.evaluation.rows import evaluation_row
from lightning_gen.files import append_json_line
from lightning_gen.reading import parse_yaml, read_text
from lightning_gen.runs.read import RunRecord, read_run
from lightning_gen.tasks.common.picture_files import plan
from lightning_gen.tasks.common.require import require
from lightning_gen.tasks.common.tiles import Tiles
from lightning_gen.tasks.translate import Direction, translate_pictures

__all__ = ["Run", "load"]


def load(
    folder: str | Path,
    checkpoint: Literal["last", "best"] = "last",
    trust: Iterable[str] = (),
    device: str | torch.device = "cpu",
) -> "Run":
    """Open a run folder, or an exported model. Nothing is read before it is asked for.

    Args:
        folder: of the run.
        checkpoint: "last" or "best".
        trust: packages whose classes the run may name, beside lightning_gen and torch.
        device: where the model computes.

    Raises:
        UserError: the folder is no run, or has no such checkpoint.
    """
    if checkpoint not in ("last", "best"):
        raise UserError(f"checkpoint is {checkpoint}: want last or best")
    checkpoint_path(folder, checkpoint)
    return Run(Path(folder), checkpoint, tuple(trust), torch.device(device))


class Run:
    """A trained model with its data, its configuration and its numbers. Make one by `load`.

    Args:
        folder: of the run.
        checkpoint: "last" or "best".
        trust: packages whose classes the run may name.
        device: where the model computes.
    """

    def __init__(self, folder: Path, checkpoint: str, trust: tuple[str, ...], device: torch.device) -> None:
        self.folder, self.checkpoint, self.trust, self.device = folder, checkpoint, trust, device

    @cached_property
    def model(self) -> ImageModule:
        """The model in eval mode, with averaged weights where the run has an average."""
        with trusting(self.trust):
            return load_module(checkpoint_path(self.folder, self.checkpoint)).to(self.device)

    @cached_property
    def data(self) -> ImageData:
        """The data set of the training; raises `UserError` where its images are not those of the model."""
        with trusting(self.trust):
            return load_fitting(self.folder, self.model)

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.folder.resolve().name

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.yaml, nested: ``run.config["model"]["init_args"]``."""
        return parse_yaml(read_text(self.folder / "config.yaml", "config"), "config.yaml") or {}

    @property
    def record(self) -> RunRecord:
        """What the folder says at this moment; a run that is training says more later."""
        return read_run(self.folder)

    @property
    def about(self) -> dict[str, Any]:
        """run.json: commit, versions, hardware, seed, parameters."""
        return self.record.about

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl, by images seen: ``pandas.DataFrame(run.metrics)``."""
        return self.record.metrics

    @property
    def evaluations(self) -> list[Measurements]:
        """What was measured in training and by ``evaluate``, in the order of time."""
        rows = self.record.evaluations
        return [Measurements(row["metrics"], str(row.get("split", "")), row["images_seen"]) for row in rows]

    @property
    def images_seen(self) -> int:
        """Training images that the checkpoint has seen."""
        return self.model.images_seen

    @torch.no_grad()
    def sample(
        self,
        n: int | None = None,
        label: int | Sequence[int] | None = None,
        temperature: float = 1.0,
        seed: int = 0,
        condition: Batch | None = None,
        text: str | Sequence[str] | None = None,
    ) -> Images:
        """Draw images; the same seed gives those of ``lightning-gen sample RUN --seed``.

        Args:
            n: number of images (64), of each sentence (8).
            label: class of all, or classes in turn (None: drawn), for a model that is conditioned on labels.
            temperature: scale of the noise, above 0.
            seed: of all randomness.
            condition: a batch of n rows without ``image``, in place of labels.
            text: sentence or sentences, a row of images each, for a model that is conditioned on captions.

        Raises:
            UserError: the model does not sample, or is not conditioned on this.
        """
        module, n = require(self.model, GenerativeModule), n if n is not None else (64 if text is None else 8)
        check_counts("sample", limit=1 << 24, n=n)
        if not temperature > 0:
            raise UserError(f"temperature is {temperature}: want above 0")
        if text is not None:
            if label is not None or condition is not None:
                raise UserError(f"text and {'condition' if label is None else 'label'} given: want one")
            return of_sentences(module, text, n, seed, temperature)
        condition = labels(module, label, -(-n // BLOCK) * BLOCK) if label is not None else condition
        blocks = []
        for block, start in enumerate(range(0, n, BLOCK)):
            rows = None if condition is None else padded(select_rows(condition, start, start + BLOCK))
            blocks.append(sample_block(module, block, seed, temperature, rows))
        return Images(torch.cat(blocks)[:n], module.spec.levels)

    def batch(self, split: Split = "test", n: int = 64) -> Batch:
        """The first images of a split with what belongs to them, in their fixed order."""
        check_counts("batch", limit=1 << 24, n=n)
        return to_device(join(list(self.data.batches(split, BLOCK, 0, n))), self.device)

    def images(self, split: Split = "test", n: int = 64) -> Images:
        """The first images of a split."""
        return self._shown(self.batch(split, n)["image"])

    @torch.no_grad()
    def reconstruct(self, images: Images | Tensor | Batch | None = None, split: Split = "test", n: int = 32) -> Images:
        """Restore images through the model's code.

        Args:
            images: uint8 (N, C, H, W), or a batch with what comes with them; None: the first `n` of `split`.
            split: of the images.
            n: number of images.
        """
        module = require(self.model, ReconstructionModule)
        return self._shown(module.reconstruct(*self._given(images, split, n)))

    @torch.no_grad()
    def encode(self, images: Images | Tensor | Batch | None = None, split: Split = "test", n: int = 64) -> Tensor:
        """The code of each image, float (N, Z); arguments as those of `reconstruct`."""
        module = require(self.model, LatentModule)
        return module.encode(*self._given(images, split, n))

    @torch.no_grad()
    def decode(self, z: Tensor, condition: Batch | None = None) -> Images:
        """Codes, float (N, Z) -> images."""
        return self._shown(require(self.model, LatentModule).decode(z.to(self.device), condition))

    @torch.no_grad()
    def log_prob(
        self, images: Images | Tensor | Batch | None = None, split: Split = "test", n: int = 64, seed: int = 0
    ) -> Tensor:
        """log p of each discrete image in nats, float (N,), or the bound that ``run.model.bound`` says; arguments as
        those of `reconstruct`, and the seed of a stochastic bound."""
        module = require(self.model, LikelihoodModule)
        image, condition = self._given(images, split, n)
        with seeded(self.device, seed, 0):
            return module.log_prob(image, condition)

    @torch.no_grad()
    def complete(
        self,
        known: Tensor,
        images: Images | Tensor | Batch | None = None,
        split: Split = "test",
        n: int = 16,
        seed: int = 0,
    ) -> Images:
        """Fill in what is not known of images.

        Args:
            known: bool (1 or N, 1, H, W), true where a pixel stays.
            images: uint8 (N, C, H, W), or a batch with what comes with them; None: the first `n` of `split`.
            split: of the images.
            n: number of images.
            seed: of all randomness.
        """
        module = require(self.model, CompletionModule)
        image, condition = self._given(images, split, n)
        mask = known.to(self.device).expand(len(image), -1, -1, -1)
        with seeded(self.device, seed, 0):
            return self._shown(module.complete(image, mask, condition))

    @torch.no_grad()
    def translate(self, batch: Batch | None = None, split: Split = "test", n: int = 16, seed: int = 0) -> Images:
        """Make an image from each ``batch["source"]``, or from the first `n` of `split`."""
        module = require(self.model, TranslationModule)
        batch = to_device(batch, self.device) if batch is not None else self.batch(split, n)
        return self._shown(module.translate(batch, torch.Generator().manual_seed(seed)))

    def translate_files(
        self, pictures: str | Path, out: str | Path, back: bool = False, outputs: int = 1, seed: int = 0
    ) -> list[Path]:
        """Translate a folder of pictures, or one, file by file, as ``lightning-gen translate`` does; return the files
        written. A damaged picture is left out and named on standard error.

        Args:
            pictures: folder, zip file or one picture.
            out: folder for the PNG files; none is overwritten.
            back: from the target domain to the source domain, by a model that has the inverse.
            outputs: files per picture, of a stochastic model.
            seed: of all randomness.
        """
        direction = Direction.of(self.model, back)
        jobs = plan(Path(pictures), Path(out), outputs)
        return [path for job in translate_pictures(direction, jobs, Tiles(), seed) for path in job.targets]

    def evaluate(self, split: Split = "test", record: bool = False, **changes: int) -> Measurements:
        """Measure bits/dim and distances by the protocol that the run was trained with.

        Args:
            split: of the images.
            record: add the numbers to the run folder, as ``lightning-gen evaluate`` does.
            changes: of the protocol: samples, weights, seed.
        """
        began = time.monotonic()
        with trusting(self.trust):
            protocol = load_section(self.folder / "config.yaml", "evaluation", Evaluation, {**changes, "split": split})
        metrics = protocol.measure(self.model, self.data)
        if record:
            seconds = time.monotonic() - began
            row = evaluation_row(self.images_seen, self.checkpoint, split, seconds, metrics)
            append_json_line(self.folder / "evaluations.jsonl", row)
        return Measurements(metrics, split, self.images_seen)

    def _given(self, images: Images | Tensor | Batch | None, split: Split, n: int) -> tuple[Tensor, Batch | None]:
        """Images (N, C, H, W) on the device of the model, and what comes with them."""
        if images is None:
            batch = self.batch(split, n)
        elif isinstance(images, Images | Tensor):
            batch = {"image": images.tensor if isinstance(images, Images) else images}
        else:
            batch = images
        self.model.spec.check(batch["image"])
        if missing := [key for key in self.model.condition_keys if key not in batch]:
            raise UserError(f"images come without {', '.join(missing)}: want a batch that has it, or none at all")
        batch = to_device(batch, self.device)
        return batch["image"], without_image(batch) or None

    def _shown(self, tensor: Tensor) -> Images:
        return Images(tensor, self.model.spec.levels)

    def __repr__(self) -> str:
        about = self.about
        return f"Run({str(self.folder)!r}: {about.get('model', 'an export')} on {about.get('data', 'its data')})"

    def _repr_html_(self) -> str:
        about = self.about
        facts = {key: about.get(key) for key in ("model", "data", "parameters", "seed", "commit", "started")}
        return html_table((self.name, ""), [(key, str(value)) for key, value in facts.items() if value is not None])
