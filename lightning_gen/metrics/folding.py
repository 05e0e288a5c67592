"""Batch norms put into the convolutions before them: the same function in eval mode, in fewer passes over memory."""

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lightning_gen.errors import UserError

__all__ = ["fold_batch_norms"]


def fold_batch_norms(net: nn.Module) -> nn.Module:
    """Fold, in place, each batch norm that directly follows a convolution: w' = w g / s and b' = (b - m) g / s + c,
    with mean m, deviation s, scale g and shift c.

    A batch norm follows a convolution where it is the next entry of an `nn.Sequential`, or where a module calls them
    ``conv`` and ``bn``. What is left is an identity.

    Raises:
        UserError: `net` is in training mode, where a batch norm depends on the whole batch.
    """
    if net.training:
        raise UserError(f"net is a {type(net).__name__} in training mode: want eval mode to fold its batch norms")
    for module in list(net.modules()):
        children = dict(module.named_children())
        pairs = (
            zip(children, list(children)[1:], strict=False) if isinstance(module, nn.Sequential) else [("conv", "bn")]
        )
        for first, second in pairs:
            conv, norm = children.get(first), children.get(second)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, first, fuse_conv_bn_eval(conv, norm))
                setattr(module, second, nn.Identity())
    return net
