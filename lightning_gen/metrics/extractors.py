"""Networks whose features stand for images, each with a name that says which weights it has.

Classifier   trained on the data's own labels, so that a distance needs no download
PCA          principal components of the pixels, where there are no labels
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec, to_signed

__all__ = ["PCA", "Classifier", "Extractor", "fit_classifier", "fit_pca", "minimise", "repeatable", "weights_hash"]


class Extractor(nn.Module, ABC):
    """uint8 (B, C, H, W) with the levels of its spec -> float32 (B, D).

    Args:
        spec: of the images.
    """

    #: short name without hash, such as ``classifier``
    kind: str
    #: what happens to the images first; part of the identity of every number
    resize: str = "none"
    #: of the computation
    dtype: str = "float32"
    #: what a Fréchet distance of these features is called: ``fid`` is for the 2015 Inception weights alone
    frechet: str = "fd"

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self.spec = spec

    @property
    @abstractmethod
    def dims(self) -> int:
        """D."""

    def of_signed(self, x: Tensor) -> Tensor:
        """Signed images (B, C, H, W), not rounded to levels -> (B, D); raises `UserError` where the extractor reads
        levels alone."""
        raise UserError(f"evaluation.extractor is {type(self).__name__}, which reads whole levels: want another one")

    def logits(self, features: Tensor) -> Tensor:
        """Features (B, D) -> class scores (B, K); raises `UserError` where the extractor is no classifier."""
        raise UserError(f"evaluation.extractor is {type(self).__name__}, which does not classify: want one that does")

    @property
    def hash(self) -> str:
        """8 hex digits of its weights."""
        return weights_hash(self)

    @property
    def label(self) -> str:
        """``kind-hash8``: what the names of distances end with."""
        return f"{self.kind}-{self.hash}"


def weights_hash(module: nn.Module) -> str:
    """8 hex digits of SHA-256 over the names, shapes and values of all weights and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:8]


class Classifier(Extractor):
    """A small convolutional classifier; the features are the pooled activations before its last layer.

    Args:
        spec: of the images.
        dims: D.
        width: channels of the first layer.
    """

    kind = "classifier"

    def __init__(self, spec: ImageSpec, dims: int = 64, width: int = 32) -> None:
        super().__init__(spec)
        layers, channels, side = [*_conv(spec.channels, width, 1 + (min(spec.height, spec.width) > 16))], width, 8
        while side < min(spec.height, spec.width, 64):  # halved until the picture is about 4 pixels high
            layers += _conv(channels, 2 * width, 2)
            channels, side = 2 * width, 2 * side
        layers += [*_conv(channels, 2 * width, 2), *_conv(2 * width, dims, 1)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(dims, spec.classes)

    @property
    def dims(self) -> int:
        return self.head.in_features

    def forward(self, image: Tensor) -> Tensor:
        return self.pooled(to_signed(image, self.spec.levels))

    def of_signed(self, x: Tensor) -> Tensor:
        return self.pooled(x)

    def logits(self, features: Tensor) -> Tensor:
        return self.head(features)

    def pooled(self, x: Tensor) -> Tensor:
        """Signed (B, C, H, W) -> (B, D)."""
        return self.body(x).mean((2, 3))


def _conv(channels: int, out: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]


class PCA(Extractor):
    """Projection on the leading principal components of the pixels.

    Args:
        spec: of the images.
        dims: D, at most C*H*W.
    """

    kind = "pca"

    def __init__(self, spec: ImageSpec, dims: int = 64) -> None:
        super().__init__(spec)
        self.register_buffer("mean", torch.zeros(spec.dims))
        self.register_buffer("components", torch.zeros(spec.dims, min(dims, spec.dims)))

    mean: Tensor
    components: Tensor

    @property
    def dims(self) -> int:
        return self.components.shape[1]

    def forward(self, image: Tensor) -> Tensor:
        return self.of_signed(to_signed(image, self.spec.levels))

    def of_signed(self, x: Tensor) -> Tensor:
        return (x.flatten(1) - self.mean) @ self.components


def fit_classifier(image: Tensor, label: Tensor, spec: ImageSpec, epochs: int = 12) -> Classifier:
    """Train a `Classifier`, the same weights for the same data on the same machine: one thread, fixed seeds.

    The pictures get Gaussian noise of random strength: a classifier that has only seen clean ones takes a little noise
    for a worse fault than a missing class.

    Args:
        image: uint8 (N, C, H, W).
        label: int64 (N,), 0..classes-1.
        spec: of the images.
        epochs: passes over the images, as far as 2,000 batches go.
    """
    generator = torch.Generator().manual_seed(0)
    steps, batch = min(max(240, epochs * len(image) // 64), 2000), min(64, len(image))
    with repeatable():
        net = Classifier(spec)

        def loss() -> Tensor:
            index = torch.randint(len(image), (batch,), generator=generator)
            x = to_signed(image[index], spec.levels)
            strength = 0.6 * torch.rand(batch, 1, 1, 1, generator=generator)
            logits = net.logits(net.pooled(x + strength * torch.randn(x.shape, generator=generator)))
            return cross_entropy(logits, label[index], label_smoothing=0.1)

        minimise(net, loss, 5e-3, steps)
    return net.eval().requires_grad_(False)


@contextmanager
def repeatable() -> Iterator[None]:
    """Inside, a small network is built and learns to the same weights on the same machine, in one thread, without
    touching the global random state."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(0)
            yield
    finally:
        torch.set_num_threads(threads)


def minimise(net: nn.Module, loss: Callable[[], Tensor], rate: float, steps: int) -> None:
    """Take AdamW steps under a one-cycle schedule whose largest learning rate is `rate`; `loss` draws its own batch."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for _ in range(steps):
        value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()


def fit_pca(image: Tensor, spec: ImageSpec, dims: int = 64) -> PCA:
    """The leading components of uint8 (N, C, H, W); signs fixed, so that the hash is that of the subspace's basis."""
    net = PCA(spec, dims)
    x = to_signed(image, spec.levels).flatten(1).double()
    net.mean.copy_(x.mean(0))
    vectors = torch.pca_lowrank(x, net.dims, niter=8)[2] if x.shape[1] > 4096 else _leading(x - x.mean(0), net.dims)
    signs = vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
    net.components.copy_(vectors * signs)
    return net.eval()


def _leading(centred: Tensor, dims: int) -> Tensor:
    return torch.linalg.eigh(centred.T @ centred)[1].flip(1)[:, :dims]
