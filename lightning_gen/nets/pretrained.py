"""Networks with published weights, for losses and for metrics: by file, checked by hash, never fetched silently.

checked_file    a file of weights whose SHA-256 is what it should be
VGG19           features for perceptual losses (Ledig et al. 2017; Wang et al. 2018)
AlexNet         the backbone of LPIPS (Zhang et al. 2018)
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from lightning_gen.errors import UserError

__all__ = ["VGG19", "AlexNet", "PretrainedFeatures", "checked_file"]

#: channel statistics of ImageNet in [0, 1], which torchvision's networks were trained with
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def checked_file(path: str | None, sha256: str, argument: str, what: str) -> Path:
    """Return `path` where it holds tensors alone and its SHA-256 begins with `sha256`.

    Args:
        path: of the file.
        sha256: hex digits, at least 8.
        argument: name of the argument for the message, such as ``extractor.weights``.
        what: the file should hold, in words.

    Raises:
        UserError: no such file, another one, or one that is no plain file of tensors.
    """
    if path is None or not Path(path).is_file():
        raise UserError(f"{argument} is {path}: want a file with {what}")
    with open(path, "rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if len(sha256) < 8 or not found.startswith(sha256):
        wanted = sha256 or "the first 8 digits of its own"
        raise UserError(f"{argument} is {path} with SHA-256 {found[:8]}...: want {wanted} ({argument} and its sha256)")
    return Path(path)


class PretrainedFeatures(nn.Module):
    """Activations of chosen layers of a network of torchvision, whose weights do not learn.

    Args:
        layers: torchvision's ``features``, in order.
        taps: indices of the layers whose outputs are returned.
        weights: file of torchvision's weights of the whole network.
        sha256: how the file's SHA-256 begins.
        what: its name, for messages.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, taps: Sequence[int], weights: str | None, sha256: str, what: str) -> None:
        super().__init__()
        path = checked_file(weights, sha256, "network.weights", f"the weights of torchvision's {what}")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise UserError(f"network.weights is {path}: want the weights of torchvision's {what}") from error
        features = network.features
        assert isinstance(features, nn.Sequential)
        self.layers, self.taps, self.sha256 = features[: max(taps) + 1], tuple(taps), sha256[:8]
        for layer in self.layers:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # the output before an activation may be a tap too
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "PretrainedFeatures":
        """Stay in eval mode: the network is fixed."""
        return super().train(False)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Signed images (B, 1 or 3, H, W) -> the activations of `taps`, each (B, C', h, w)."""
        x = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
        x = (0.5 * (x + 1.0) - self.mean) / self.std
        found = []
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i in self.taps:
                found.append(x)
        return tuple(found)


@final
class VGG19(PretrainedFeatures):
    """VGG of 19 layers (Simonyan and Zisserman 2015), e.g. conv5_4 before its activation at index 34, after it at 35.

    Args:
        weights: ``vgg19-dcbb9e9d.pth`` of torchvision.
        sha256: how its SHA-256 begins.
        taps: indices in torchvision's ``features``.
    """

    def __init__(self, weights: str | None = None, sha256: str = "dcbb9e9d", taps: Sequence[int] = (34,)) -> None:
        from torchvision.models import vgg19

        super().__init__(vgg19(), taps, weights, sha256, "VGG19")


@final
class AlexNet(PretrainedFeatures):
    """AlexNet (Krizhevsky et al. 2012) at its five activations.

    Args:
        weights: ``alexnet-owt-7be5be79.pth`` of torchvision.
        sha256: how its SHA-256 begins.
        taps: indices in torchvision's ``features``.
    """

    def __init__(
        self, weights: str | None = None, sha256: str = "7be5be79", taps: Sequence[int] = (1, 4, 7, 9, 11)
    ) -> None:
        from torchvision.models import alexnet

        super().__init__(alexnet(), taps, weights, sha256, "AlexNet")
