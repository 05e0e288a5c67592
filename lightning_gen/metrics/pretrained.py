"""Pretrained networks as extractors, from the weights that papers used: by path, or by torch-fidelity's own download.

Inception   the 2015 network of FID and Inception Score, checked by hash
CLIP, DINO  networks that judge closer to people (Stein et al. 2023)
"""

from pathlib import Path
from typing import Any, Literal, Self, final
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec, to_display
from lightning_gen.metrics.extractors import Extractor, weights_hash
from lightning_gen.metrics.folding import fold_batch_norms
from lightning_gen.metrics.inception_layers import faster_layers
from lightning_gen.nets.pretrained import checked_file
from lightning_gen.precision import full_precision, products_of_float32

__all__ = ["CLIP", "DINO", "Inception"]

#: SHA-256 of weights-inception-2015-12-05-6726825d.pth begins with
_OFFICIAL = "6726825d"
#: images at a time on a CPU: their activations of 299x299 pixels stay in its cache, which is worth a sixth of the time
_AT_ONCE = 8


@final
class Inception(Extractor):
    """The pooled features (B, 2048) of the Inception network of 2015 (Heusel et al. 2017, Section 2).

    Distances of its features are called ``fid_tf1`` and ``fid_aa`` with the official weights, and
    ``fd_inception-<hash8>`` with any other.

    Args:
        spec: of the images; grey ones are shown in all three colours.
        weights: file (None: torch-fidelity's own download, kept in torch's cache).
        sha256: how the file's SHA-256 must begin; the default is that of the official weights.
        resize: to 299x299 pixels; ``tf1`` is the resize of the original implementation and most papers,
            ``aa`` antialiased (Parmar et al. 2022). They differ by more than papers differ.
        dtype: of the computation. On a GPU ``float32`` multiplies exactly, as a CPU does; ``tf32``, the default of
            other libraries there, is several times as fast and moves a feature by a thousandth of the largest,
            ``bfloat16`` by more. It is part of the identity of every number.

    Raises:
        UserError: the file cannot be had, or is another one.
    """

    kind = "inception"

    def __init__(
        self,
        spec: ImageSpec,
        weights: str | None = None,
        sha256: str = _OFFICIAL,
        resize: Literal["tf1", "aa"] = "tf1",
        dtype: Literal["float32", "tf32", "bfloat16"] = "float32",
    ) -> None:
        super().__init__(spec)
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        path = _checked(weights, sha256) if weights else None
        net = _fetched(lambda: FeatureExtractorInceptionV3("inception", ["2048"], path), "inception")
        self.resize, self.dtype = resize, dtype
        self.official = sha256 == _OFFICIAL
        self.frechet = "fid" if self.official else "fd"
        self.register_buffer("classes", net.fc.weight.detach().T.contiguous())
        self._hash = weights_hash(net)  # of the file: folding changes the weights, not the function
        fold_batch_norms(net)
        self.layers = faster_layers(net).to(self.held_as)
        self.eval().requires_grad_(False)._order()

    classes: Tensor

    @property
    def held_as(self) -> torch.dtype:
        """Type of weights and activations."""
        return torch.bfloat16 if self.dtype == "bfloat16" else torch.float32

    def _order(self) -> None:
        """Put the weights into the order of memory that is fastest: on a GPU exact products have no kernels for
        channels last."""
        last = self.classes.device.type == "cpu" or self.dtype != "float32"
        self.memory = torch.channels_last if last else torch.contiguous_format
        self.layers.to(memory_format=self.memory)

    def _apply(self, *args: Any, **kwargs: Any) -> Self:
        super()._apply(*args, **kwargs)
        self._order()
        return self

    @property
    def dims(self) -> int:
        return len(self.classes)

    @property
    def hash(self) -> str:
        return self._hash

    @property
    def label(self) -> str:
        name = self.resize if self.official else f"inception-{self.hash}-{self.resize}"
        return name if self.dtype == "float32" else f"{name}-{self.dtype}"

    def forward(self, image: Tensor) -> Tensor:
        pieces = image.split(_AT_ONCE) if image.device.type == "cpu" else (image,)
        with products_of_float32(rounded=self.dtype == "tf32"), full_precision(image):
            return torch.cat([self._features(piece) for piece in pieces])

    def _features(self, image: Tensor) -> Tensor:
        # Scaled before it is resized: the weights of a resize add up to 1, and a small picture has fewer pixels.
        x = self.resized((_rgb(image, self.spec.levels).float() - 128) / 128)
        x = x.to(self.held_as, memory_format=self.memory)
        return self.layers(x).flatten(1).float()

    def resized(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 3, 299, 299), not rounded."""
        if x[0, 0].numel() > 299 * 299:
            return self._interpolated(x)
        # Both resizes are linear and act on rows and columns alone: two small products of matrices.
        rows, columns = (self._matrix(side, x) for side in x.shape[2:])
        return rows @ (x @ columns.T)

    def _matrix(self, side: int, like: Tensor) -> Tensor:
        """(299, side), the resize of one line: what it makes of each unit vector."""
        unit = torch.eye(side, dtype=like.dtype, device=like.device)
        return self._interpolated(unit.expand(1, 1, -1, -1), width=side)[0, 0]

    def _interpolated(self, x: Tensor, width: int = 299) -> Tensor:
        if self.resize == "aa":
            return interpolate(x, size=(299, width), mode="bilinear", align_corners=False, antialias=True)
        from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

        return interpolate_bilinear_2d_like_tensorflow1x(x, size=(299, width), align_corners=False)

    def logits(self, features: Tensor) -> Tensor:
        return features @ self.classes


class _Fidelity(Extractor):
    """One of torch-fidelity's extractors, with its own resize."""

    resize = "tf1"
    net: nn.Module

    def forward(self, image: Tensor) -> Tensor:
        return self.net(_rgb(image, self.spec.levels))[0].flatten(1)

    @property
    def dims(self) -> int:
        device = next(self.net.parameters()).device
        return self(torch.zeros(1, *self.spec.shape, dtype=torch.uint8, device=device)).shape[1]


@final
class CLIP(_Fidelity):
    """CLIP's image features (Radford et al. 2021).

    Args:
        spec: of the images.
        weights: TorchScript file of the network (None: torch-fidelity's own download).
        name: as torch-fidelity calls it.
    """

    kind = "clip"

    def __init__(self, spec: ImageSpec, weights: str | None = None, name: str = "clip-vit-b-32") -> None:
        super().__init__(spec)
        from torch_fidelity.feature_extractor_clip import FeatureExtractorCLIP

        if weights and not Path(weights).is_file():
            raise UserError(f"extractor.weights is {weights}: want a file with the weights of {name}")
        self.net = _fetched(lambda: FeatureExtractorCLIP(name, ["clip"], weights), name)


@final
class DINO(_Fidelity):
    """DINOv2's image features (Oquab et al. 2023), through torch hub's own download.

    Args:
        spec: of the images.
        name: as torch-fidelity calls it.
    """

    kind = "dinov2"

    def __init__(self, spec: ImageSpec, name: str = "dinov2-vit-l-14") -> None:
        super().__init__(spec)
        from torch_fidelity.feature_extractor_dinov2 import FeatureExtractorDinoV2

        self.net = _fetched(lambda: FeatureExtractorDinoV2(name, ["dinov2"]), name)


def _rgb(image: Tensor, levels: int) -> Tensor:
    image = to_display(image, levels)
    return image.expand(-1, 3, -1, -1) if image.shape[1] == 1 else image


def _checked(path: str, sha256: str) -> str:
    """`path`, where it holds the file that begins with this hash, and nothing but tensors."""
    found = checked_file(path, sha256, "extractor.weights", "the Inception weights of 2015")
    torch.load(found, map_location="cpu", weights_only=True)  # raises on code, which the library would run
    return str(found)


def _fetched(make: Any, name: str) -> Any:
    try:
        return make()
    except (URLError, OSError, RuntimeError) as error:
        cause = " ".join(str(error).split())[:120]
        raise UserError(
            f"extractor {name}: its weights cannot be had ({cause}); want extractor.weights, a file"
        ) from error
