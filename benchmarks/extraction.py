"""Inception features and the Fréchet root against torch-fidelity, torchmetrics and pytorch-fid, with equal weights.

    python -m benchmarks.extraction [--batch 64] [--repeats 10] [--root-repeats 5] [--device cpu]

The weights are random, seeded, made on the spot in the layout of the file of 2015; all four networks read that file.
0 repeats leave a part out. pytorch-fid resizes in a third way, so its features differ by more than rounding.
Writes results/extraction.json (a batch of 32x32 pictures, resize included; ``distance`` is the Fréchet distance between
our features and each peer's on the same pictures) and results/frechet_root.json (two Gaussians of 2048 dimensions; ours
as in an evaluation: what is kept of the real set is ready, the covariance of the generated one is not yet factored).
"""

import argparse
import hashlib
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.interleave import interleave, record
from lightning_gen.images import ImageSpec
from lightning_gen.metrics.frechet import factor, frechet_distance
from lightning_gen.metrics.pretrained import Inception


def random_weights(path: Path) -> str:
    """Write a file of seeded random Inception weights that keep the activations alive; its SHA-256."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Random(FeatureExtractorInceptionV3):
        def load_state_dict(self, *args: Any, **kwargs: Any) -> None:
            """Keep the fresh weights."""

    torch.save({}, path)
    torch.manual_seed(0)
    net = Random("inception", ["2048"], str(path))
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.1, 0.1)
    torch.save(net.state_dict(), path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def extractors(path: Path, digest: str, device: str) -> dict[str, Callable[[Tensor], Tensor]]:
    """Name -> uint8 (B, 3, H, W) to features (B, 2048)."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    from torchmetrics.image.fid import NoTrainInceptionV3

    fidelity = FeatureExtractorInceptionV3("inception", ["2048"], str(path)).eval().to(device)
    metrics = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(path), antialias=False).eval().to(device)
    ours = {
        f"lightning-gen{name}": Inception(ImageSpec(3, 32, 32), str(path), digest, dtype=dtype).to(device)
        for name, dtype in (("", "float32"), (", tf32", "tf32"), (", bfloat16", "bfloat16"))
    }
    cases = {
        **ours,
        "torch-fidelity": lambda x: fidelity(x)[0],
        "torchmetrics": lambda x: metrics(x).reshape(len(x), -1),
    }
    if find_spec("pytorch_fid"):
        import pytorch_fid.inception as peer

        state = torch.load(path, weights_only=True)
        peer.load_state_dict_from_url = lambda *args, **kwargs: state  # its download, replaced by the same weights
        fid = peer.InceptionV3([3]).eval().to(device)
        cases["pytorch-fid"] = lambda x: fid(x.float() / 255)[0].flatten(1)
    return cases


@torch.inference_mode()
def extraction(batch: int, repeats: int, device: str = "cpu") -> dict[str, Any]:
    """Measure, print, write, and return what was found."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.pth"
        cases = extractors(path, random_weights(path), device)
    image = torch.randint(256, (batch, 3, 32, 32), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    image = image.to(device)
    features = {name: case(image) for name, case in cases.items()}
    ours = features["lightning-gen"]
    distances = {name: _distance(ours, other) for name, other in features.items()}
    largest = {name: float((ours - other).abs().max() / ours.abs().max()) for name, other in features.items()}
    print(f"distance of our features from each: {distances}\nlargest relative difference: {largest}")
    seconds = interleave({name: lambda case=case: case(image) for name, case in cases.items()}, repeats, warmup=1)
    rate = {name: round(batch / sorted(times)[len(times) // 2], 2) for name, times in seconds.items()}
    about = {"batch": batch, "pixels": "3x32x32", "img/s": rate, "distance": distances, "largest difference": largest}
    record("extraction" if device == "cpu" else "extraction_gpu", seconds, "lightning-gen", about)
    return about


def _distance(a: Tensor, b: Tensor) -> float:
    return frechet_distance(a.double().mean(0), factor(a), b.double().mean(0), factor(b))


def root(repeats: int, dims: int = 2048) -> None:
    from pytorch_fid.fid_score import calculate_frechet_distance
    from torchmetrics.image.fid import _compute_fid

    g = torch.Generator().manual_seed(0)
    sets = [torch.randn(2 * dims, dims, generator=g, dtype=torch.float64) * scale for scale in (1.0, 1.1)]
    (mean_a, mean_b), (a, b) = [x.mean(0) for x in sets], [torch.cov(x.T) for x in sets]
    ready = torch.linalg.cholesky(a)
    cases: dict[str, Callable[[], float]] = {
        "lightning-gen": lambda: frechet_distance(mean_a, ready, mean_b, torch.linalg.cholesky(b)),
        "torchmetrics": lambda: float(_compute_fid(mean_a, a, mean_b, b)),
        "pytorch-fid": lambda: float(calculate_frechet_distance(*map(np.asarray, (mean_a, a, mean_b, b)))),
    }
    values: dict[str, float] = {}
    timed = {name: lambda name=name, case=case: values.update({name: case()}) for name, case in cases.items()}
    seconds = interleave(timed, repeats, warmup=0)
    record("frechet_root", seconds, "lightning-gen", {"dims": dims, "distance": values})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("--batch", 64), ("--repeats", 10), ("--root-repeats", 5)):
        parser.add_argument(name, type=int, default=value)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    if options.repeats:
        extraction(options.batch, options.repeats, options.device)
    if options.root_repeats:
        root(options.root_repeats)


if __name__ == "__main__":
    main()
