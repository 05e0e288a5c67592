"""The layers of the Inception network of 2015, the same function in fewer passes over memory.

A convolution and its activation are one kernel on a GPU. Where a branch averages over 3x3 pixels and then joins
channels by a 1x1 convolution, the convolution comes first: both are linear and act on different axes, so they commute,
and what is averaged has a quarter of the channels or fewer. On an H100 these averages took a third of the time.
"""

from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

__all__ = ["faster_layers"]

#: kind of block -> its branches, each a chain of layers by name; a pair at the end are two layers side by side
_BRANCHES: dict[str, list[list[str | tuple[str, str]]]] = {
    "InceptionA": [
        ["branch1x1"],
        ["branch5x5_1", "branch5x5_2"],
        ["branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"],
    ],
    "InceptionC": [
        ["branch1x1"],
        ["branch7x7_1", "branch7x7_2", "branch7x7_3"],
        ["branch7x7dbl_1", "branch7x7dbl_2", "branch7x7dbl_3", "branch7x7dbl_4", "branch7x7dbl_5"],
    ],
    "InceptionE_1": [
        ["branch1x1"],
        ["branch3x3_1", ("branch3x3_2a", "branch3x3_2b")],
        ["branch3x3dbl_1", "branch3x3dbl_2", ("branch3x3dbl_3a", "branch3x3dbl_3b")],
    ],
}


def faster_layers(net: nn.Module) -> nn.Sequential:
    """Rearrange torch-fidelity's network, whose batch norms are folded, without its last linear map.

    Args:
        net: in eval mode.

    Returns:
        signed images (B, 3, 299, 299) -> features (B, 2048, 1, 1).
    """
    layers = {name: layer for name, layer in net.named_children() if name not in ("fc", "dropout")}
    return nn.Sequential(*(_rearranged(layer) for layer in layers.values())).eval()


def _rearranged(layer: nn.Module) -> nn.Module:
    if isinstance(conv := getattr(layer, "conv", None), nn.Conv2d):
        return _Activated(conv)
    parts: dict[str, Any] = {name: _rearranged(part) for name, part in layer.named_children()}
    branches = _BRANCHES.get(type(layer).__name__)
    if branches is None:  # a block of strides or of maxima: its order of work stays
        for name, part in parts.items():
            setattr(layer, name, part)
        return layer
    chains = [nn.Sequential(*(_step(parts, name) for name in names)) for names in branches]
    return _SideBySide(*chains, _Averaged(parts["branch_pool"].conv))


def _step(parts: dict[str, nn.Module], name: str | tuple[str, str]) -> nn.Module:
    return parts[name] if isinstance(name, str) else _SideBySide(*(parts[one] for one in name))


@final
class _Activated(nn.Module):
    """A convolution and a rectifier."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv
        if not x.is_cuda:
            return conv(x).relu_()
        assert not isinstance(conv.padding, str)
        return torch.cudnn_convolution_relu(
            x, conv.weight, conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups
        )


@final
class _Averaged(nn.Module):
    """A 1x1 convolution, then the mean of 3x3 pixels, of those that there are, and a rectifier."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        return avg_pool2d(self.conv(x), 3, 1, 1, count_include_pad=False).relu_()


@final
class _SideBySide(nn.Module):
    """The same input through each part; the outputs joined by channel."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([part(x) for part in self.parts], 1)
