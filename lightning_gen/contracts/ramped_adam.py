"""Adam with a second beta that changes in training, as R3GAN has it."""

from typing import Any, final

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from lightning_gen.errors import UserError

__all__ = ["RampedAdam"]

#: options of `torch.optim.Adam` that this one has not -> their value where they are not set
_ABSENT = {"weight_decay": 0, "amsgrad": False, "maximize": False, "differentiable": False, "fused": None}


@final
class RampedAdam(Adam):
    """Adam (Kingma and Ba 2015, Algorithm 1) whose second beta is a number on the device: that of torch takes a Python
    number there, which a captured graph cannot follow. States, and so checkpoints, are those of torch.

    Args:
        params: as in `torch.optim.Adam`.
        lr: as there.
        betas: as there; the second one until `beta2` is set.
        eps: as there.
    """

    def __init__(self, params: Any, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8):
        super().__init__(params, lr, betas, eps)
        self.value, self.beta2 = betas[1], torch.empty(0)

    @classmethod
    def like(cls, optimizer: Optimizer) -> "RampedAdam":
        """Make one of the parameters and options of a fresh `torch.optim.Adam`.

        Raises:
            UserError: it is of another class, or has options that this one has not.
        """
        if type(optimizer) is not Adam:
            raise UserError(f"model.training.beta2 is a ramp beside {type(optimizer).__name__}: want torch.optim.Adam")
        for name, absent in _ABSENT.items():
            if optimizer.defaults[name] not in (absent, False):
                raise UserError(f"model.training.beta2 is a ramp beside Adam with {name}: want Adam without it")
        keys = ("params", "lr", "betas", "eps")
        return cls([{key: group[key] for key in keys} for group in optimizer.param_groups])

    def set_beta2(self, value: float) -> None:
        """Set the second beta of all groups."""
        self.value = value
        self.beta2.fill_(value)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if params:
                self._descend(group, params)
        return loss

    def _descend(self, group: dict[str, Any], params: list[Tensor]) -> None:
        device, beta1 = params[0].device, group["betas"][0]
        if self.beta2.device != device or not self.beta2.numel():
            self.beta2 = torch.tensor(self.value, device=device)
        grads = [p.grad for p in params if p.grad is not None]
        means, squares, steps = (list(values) for values in zip(*map(self._moments, params), strict=True))
        torch._foreach_add_(steps, 1)
        torch._foreach_lerp_(means, grads, 1 - beta1)
        torch._foreach_mul_(squares, self.beta2)
        torch._foreach_addcmul_(squares, torch._foreach_mul(grads, 1 - self.beta2), grads)
        count = torch.stack(steps)
        rate = group["lr"] / (1 - beta1**count)
        divisors = torch._foreach_sqrt(squares)
        torch._foreach_div_(divisors, list((1 - self.beta2**count).sqrt().unbind()))
        torch._foreach_add_(divisors, group["eps"])
        torch._foreach_div_(divisors, list((-rate).unbind()))
        torch._foreach_addcdiv_(params, means, divisors)

    def _moments(self, p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        state = self.state[p]
        if not state:
            state["step"] = torch.zeros((), device=p.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
        return state["exp_avg"], state["exp_avg_sq"], state["step"]
