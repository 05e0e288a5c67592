"""The one protocol that turns a trained model into numbers: in training and afterwards, in one process or many.

Images are drawn and read in blocks of `BLOCK`. Block b, its noise, its labels and its dequantization, is a function of
(seed, b) alone, and process r of w takes the blocks with b mod w = r. What is collected from them is one number or one
row of features per image, put in its place in a tensor of zeros that is summed over processes: x + 0 is x, so every
process ends with bit for bit what one process alone would have.
"""

import hashlib
import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from torch import distributed as dist

from lightning_gen.batches import Batch, to_device, without_image
from lightning_gen.contracts import GenerativeModule, ImageData, ImageModule, LikelihoodModule, Split
from lightning_gen.errors import UserError, check_counts
from lightning_gen.files import atomic_write
from lightning_gen.images import ImageSpec
from lightning_gen.metrics.distances import SetDistance
from lightning_gen.metrics.extractors import PCA, Classifier, Extractor, fit_classifier, fit_pca
from lightning_gen.metrics.frechet import FrechetDistance
from lightning_gen.metrics.kernel import KernelDistance
from lightning_gen.metrics.manifold import FidelityDiversity

__all__ = [
    "BLOCK",
    "Evaluation",
    "Metrics",
    "bits_per_dim",
    "bound_of",
    "evaluation_row",
    "likelihood_metric",
    "log_probs",
    "sample_block",
    "sample_blocks",
    "seeded",
]

#: The caller's batch size, the number of processes and the device's memory must not change a single pixel.
BLOCK = 64
#: name -> {"value", "error", "better", "identity", and "not_finite" where some images had no finite number}
Metrics = dict[str, dict[str, Any]]
#: an embedded extractor learns from at most this many images
_LEARN = 20000


class Evaluation:
    """What is measured, on which images, with which features.

    Args:
        split: of the real images.
        samples: images drawn for the distances, 0: no distances. 1,000 is quick; papers use 50,000.
        seed: of every draw.
        weights: log-probabilities drawn per image; above 1 the importance-weighted bound (Burda et al. 2016, Eq. 8)
            takes the place of the bound of a stochastic model, under the name iwae-k.
        extractor: called with (spec); gives the features of the distances. None: a classifier trained on the data's
            own labels, principal components of the pixels where it has none.
        distances: each called with (extractor). None: Fréchet, kernel, and precision, recall, density, coverage.
    """

    def __init__(
        self,
        split: Split = "val",
        samples: int = 1000,
        seed: int = 0,
        weights: int = 1,
        extractor: Callable[[ImageSpec], Extractor] | None = None,
        distances: list[Callable[[Extractor], SetDistance]] | None = None,
    ) -> None:
        if split not in get_args(Split):
            raise UserError(f"evaluation.split is {split}: want train, val or test")
        if samples < 0 or samples == 1:
            raise UserError(f"evaluation.samples is {samples}: want 2 or more, or 0 for no distances")
        check_counts("evaluation", weights=weights)
        self.split, self.samples, self.seed, self.weights = split, samples, seed, weights
        self.extractor, self.distances = extractor, distances
        self._ready: tuple[str, list[SetDistance]] | None = None

    def check(self, module: ImageModule) -> None:
        """Raise where `module` cannot give what is asked for."""
        name = type(module).__name__
        if self.weights > 1 and not isinstance(module, LikelihoodModule):
            raise UserError(f"evaluation.weights is {self.weights}: {name} has no likelihood, want 1")
        if isinstance(module, LikelihoodModule):
            bound_of(module, self.weights)

    @torch.no_grad()
    def measure(self, module: ImageModule, data: ImageData, step: Callable[[], None] = lambda: None) -> Metrics:
        """All numbers of `module`, which is in eval mode; the same on every process.

        Args:
            module: with the weights to be judged.
            data: real images.
            step: called after each block of this process.
        """
        self.check(module)
        metrics: Metrics = {}
        if isinstance(module, LikelihoodModule):
            metrics |= bits_per_dim(module, data, self.split, self.seed, self.weights, step)
        if isinstance(module, GenerativeModule) and self.samples:

            def draw(block: int) -> Tensor:
                return sample_block(module, block, self.seed)

            metrics |= self.distance(draw, self.samples, data, module.device, step)
        return metrics

    def steps(self, module: ImageModule, data: ImageData) -> int:
        """How often `measure` calls `step` in this process."""
        rank, world = _process()
        counts = [data.size(self.split)] if isinstance(module, LikelihoodModule) else []
        counts += [self.samples] if isinstance(module, GenerativeModule) else []
        return sum(len(range(rank, -(-count // BLOCK), world)) for count in counts)

    def distance(
        self,
        draw: Callable[[int], Tensor],
        images: int,
        data: ImageData,
        device: torch.device | str = "cpu",
        step: Callable[[], None] = lambda: None,
    ) -> Metrics:
        """The distances of a generated set from the real images.

        Args:
            draw: block index -> uint8 (BLOCK, C, H, W); rows beyond `images` are not looked at.
            images: size of the generated set.
            data: real images.
            device: where features are computed.
            step: called after each block of this process.
        """
        distances = self._prepare(data, device)
        if not distances:
            return {}
        extractor = distances[0].extractor
        fewest = min(images, data.size(self.split))
        if fewest <= extractor.dims and _process()[0] == 0:
            few = f"lightning-gen: {fewest} images for {extractor.dims} features of {extractor.label}"
            print(f"{few}: a Fréchet distance of so few is biased upward", file=sys.stderr)

        def block(index: int) -> Tensor:
            image = draw(index)
            data.spec.check(image)  # a float picture, which alone can hold a NaN, ends here in one plain line
            return extractor(image.to(device))

        features = _collect(images, (extractor.dims,), torch.float32, block, step).cpu()
        bad = int((~features.isfinite().all(1)).sum())
        lost = {"not_finite": bad} if bad else {}
        identity = self._identity(data, extractor) | {"samples": images, "seed": self.seed}
        metrics: Metrics = {}
        for distance in distances:
            reference = self._reference(distance, data, device)
            for name, number, error, better in distance.compare(reference, features.nan_to_num()):
                number, error = (math.nan, None) if bad else (number, error)
                metrics[name] = _row(number, error, better, identity | distance.settings) | lost
        return metrics

    def extractor_of(self, data: ImageData, device: torch.device | str = "cpu") -> Extractor:
        """The features that the distances look at; call it on every process."""
        distances = self._prepare(data, device)
        return distances[0].extractor if distances else _embedded(data).to(device)

    def classifier(self, data: ImageData, device: torch.device | str = "cpu") -> Classifier | None:
        """The classifier whose features the distances use; None where they use another extractor, or there are none."""
        found = self.extractor_of(data, device) if self.samples else None
        return found if isinstance(found, Classifier) else None

    def _prepare(self, data: ImageData, device: torch.device | str) -> list[SetDistance]:
        """The distances with their extractor, made once per data set."""
        if self._ready is None or self._ready[0] != data.fingerprint:
            extractor = self.extractor(data.spec) if self.extractor else _embedded(data)
            classes = [FrechetDistance, KernelDistance, FidelityDiversity] if self.distances is None else self.distances
            self._ready = data.fingerprint, [make(extractor.eval()) for make in classes]
        for distance in self._ready[1]:
            distance.extractor.to(device)
        return self._ready[1]

    def _identity(self, data: ImageData, extractor: Extractor) -> dict[str, Any]:
        return {
            **_data_identity(data, self.split),
            "extractor": extractor.kind,
            "weights": extractor.hash,
            "resize": extractor.resize,
            "dtype": extractor.dtype,
            "images": data.size(self.split),
        }

    def _reference(self, distance: SetDistance, data: ImageData, device: torch.device | str) -> dict[str, Tensor]:
        """What `distance` keeps of the real images, from the cache where it is there."""
        identity = self._identity(data, distance.extractor) | {"distance": type(distance).__name__, **distance.settings}
        path = _cache("reference", identity)

        def make() -> dict[str, Tensor]:
            extractor = distance.extractor

            def block(index: int) -> Tensor:
                batch = next(data.batches(self.split, BLOCK, index * BLOCK, (index + 1) * BLOCK))
                return extractor(batch["image"].to(device))

            real = _collect(data.size(self.split), (extractor.dims,), torch.float32, block)
            return distance.reference(real.cpu())

        return _cached(path, make)


def evaluation_row(images_seen: int, checkpoint: str, split: str, seconds: float, metrics: Metrics) -> dict[str, Any]:
    """A row of ``evaluations.jsonl``."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    about = {"images_seen": images_seen, "checkpoint": checkpoint, "split": split, "time": now}
    return about | {"seconds": round(seconds, 3), "metrics": metrics}


def sample_block(
    module: GenerativeModule, block: int, seed: int = 0, temperature: float = 1.0, condition: Batch | None = None
) -> Tensor:
    """Samples block*BLOCK to (block+1)*BLOCK, uint8 (BLOCK, C, H, W): a function of (seed, block) alone, and of the
    condition, of BLOCK rows (None: drawn)."""
    return module.sample(BLOCK, condition, temperature, _generator(seed, block))


@torch.no_grad()
def sample_blocks(module: GenerativeModule, images: int, seed: int = 0, temperature: float = 1.0) -> Iterator[Tensor]:
    """Exactly `images` samples, in blocks; the last one may be smaller."""
    for block, start in enumerate(range(0, images, BLOCK)):
        yield sample_block(module, block, seed, temperature)[: images - start]


def bits_per_dim(
    module: LikelihoodModule,
    data: ImageData,
    split: Split = "test",
    seed: int = 0,
    weights: int = 1,
    step: Callable[[], None] = lambda: None,
) -> Metrics:
    """The mean over exactly the images of `split`, with what kind of number it is and its standard error over images.

    Values that are not finite are counted and make the mean null: they are never dropped.
    """
    bound = bound_of(module, weights)

    def block(index: int) -> Tensor:
        batch = next(data.batches(split, BLOCK, index * BLOCK, (index + 1) * BLOCK))
        return module.to_bits(-log_probs(module, batch, index, seed, weights))

    return likelihood_metric(_collect(data.size(split), (), torch.float64, block, step), bound, data, split, seed)


def likelihood_metric(bits: Tensor, bound: str, data: ImageData, split: Split, seed: int = 0) -> Metrics:
    """The row of ``bits_per_dim`` from the values of all images of `split`, float64 (N,)."""
    bad, count = int((~bits.isfinite()).sum()), len(bits)
    identity = _data_identity(data, split) | {"bound": bound, "images": count, "seed": seed}
    if bad:
        return {"bits_per_dim": _row(float("nan"), None, "lower", identity) | {"not_finite": bad}}
    mean = math.fsum(bits.tolist()) / count  # fsum: the exact sum, rounded once
    spread = math.fsum((b - mean) ** 2 for b in bits.tolist())
    error = math.sqrt(spread / (count - 1) / count) if count > 1 else None
    return {"bits_per_dim": _row(mean, error, "lower", identity)}


@torch.no_grad()
def log_probs(module: LikelihoodModule, batch: Batch, block: int, seed: int = 0, weights: int = 1) -> Tensor:
    """The log-probability of each image of `batch`, which is block `block` of its set, nats, float64 (B,); the
    importance-weighted bound of it where `weights` is above 1."""
    batch = to_device(batch, module.device)
    with seeded(module.device, seed, block):
        draws = [module.log_prob(batch["image"], without_image(batch)).double() for _ in range(weights)]
    return torch.stack(draws).logsumexp(0) - math.log(weights)


def bound_of(module: LikelihoodModule, weights: int = 1) -> str:
    """The name of the bound that `weights` draws give; raises where more draws than one change nothing."""
    if weights == 1:
        return module.bound
    if module.bound == "exact":
        raise UserError(f"evaluation.weights is {weights}: {type(module).__name__} has an exact likelihood, want 1")
    return f"iwae-{weights}"


def _generator(seed: int, block: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 1_000_003 + block)


@contextmanager
def seeded(device: torch.device, seed: int, block: int) -> Iterator[None]:
    """Inside, the global generators are at (seed, block); outside, as if nothing had been drawn."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed * 1_000_003 + block)
        yield


def _process() -> tuple[int, int]:
    """Rank and number of processes."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def _collect(
    count: int,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    block: Callable[[int], Tensor],
    step: Callable[[], None] = lambda: None,
) -> Tensor:
    """(count, *shape) from blocks of BLOCK rows, computed by all processes, complete on each."""
    rank, world = _process()
    out: Tensor | None = None
    for index in range(rank, -(-count // BLOCK), world):
        rows = block(index).to(dtype)
        out = torch.zeros(count, *shape, dtype=dtype, device=rows.device) if out is None else out
        out[index * BLOCK : (index + 1) * BLOCK] = rows[: count - index * BLOCK]
        step()
    out = torch.zeros(count, *shape, dtype=dtype) if out is None else out
    if world > 1:
        out = out.to(_wire())
        dist.all_reduce(out)
    return out


def _row(value: float, error: float | None, better: str, identity: dict[str, Any]) -> dict[str, Any]:
    """JSON has no word for NaN: it becomes null."""
    finite = value if math.isfinite(value) else None
    return {"value": finite, "error": error, "better": better, "identity": identity}


def _data_identity(data: ImageData, split: Split) -> dict[str, Any]:
    spec = data.spec
    return {
        "data": data.name,
        "fingerprint": data.fingerprint,
        "split": split,
        "levels": spec.levels,
        "shape": list(spec.shape),
    }


def _embedded(data: ImageData) -> Extractor:
    """The extractor that needs no download, learned once from the training images and cached."""
    spec = data.spec
    net: Extractor = Classifier(spec) if spec.classes else PCA(spec)
    path = _cache("extractors", {**_data_identity(data, "train"), "kind": net.kind, "recipe": 1})

    def make() -> dict[str, Tensor]:
        parts: list[Batch] = list(data.batches("train", 512, 0, _LEARN))
        image = torch.cat([part["image"] for part in parts])
        if not spec.classes:
            return fit_pca(image, spec).state_dict()
        return fit_classifier(image, torch.cat([part["label"] for part in parts]), spec).state_dict()

    net.load_state_dict(_cached(path, make))
    return net.requires_grad_(False)


def _cache(room: str, identity: dict[str, Any]) -> Path:
    """A file named by everything that its content depends on."""
    root = Path(os.environ.get("LIGHTNING_GEN_CACHE", "~/.cache/lightning_gen")).expanduser()
    return (
        root / room / (hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32] + ".safetensors")
    )


def _cached(path: Path, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The content of `path`, made and written where it is not there; the first process's, on every process."""
    rank, world = _process()
    tensors = _read(path)
    known = torch.tensor(int(tensors is not None), device=_wire())
    if world > 1:  # all or none: `make` may need every process
        dist.all_reduce(known, dist.ReduceOp.MIN)
    if tensors is None or not known:
        tensors = {key: value.detach().cpu().contiguous() for key, value in make().items()}
    if world > 1:
        tensors = {key: _first(tensor) for key, tensor in sorted(tensors.items())}
    if rank == 0 and not known:
        try:
            with atomic_write(path) as stream:
                stream.write(save(tensors))
        except OSError as error:  # a full disk costs the next run some time, not this one its numbers
            print(f"lightning-gen: cache {path.parent} cannot be written: {error.strerror or error}", file=sys.stderr)
    return tensors


def _read(path: Path) -> dict[str, Tensor] | None:
    """The content of a cached file; None where there is none, or it is damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError):
        return None


def _wire() -> str:
    """Where tensors must lie to travel between processes."""
    return "cuda" if dist.is_initialized() and dist.get_backend() == "nccl" else "cpu"


def _first(tensor: Tensor) -> Tensor:
    """The first process's."""
    tensor = tensor.to(_wire())
    dist.broadcast(tensor, 0)
    return tensor.cpu()
