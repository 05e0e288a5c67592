"""A whole model: a subclass of a contract, with its one or two methods."""

import torch
from torch import Generator, Tensor, nn

from lightning_gen.batches import Batch
from lightning_gen.contracts import LikelihoodModule, OptimizerFactory
from lightning_gen.images import ImageSpec
from lightning_gen.schedules import Schedule


class PixelTable(LikelihoodModule):
    """Every pixel by itself, a table of probabilities for each: log p(x) = sum over pixels of log p(x_i), exact."""

    bound = "exact"

    def __init__(self, spec: ImageSpec, optimizer: OptimizerFactory, schedule: Schedule | None = None) -> None:
        super().__init__(spec, optimizer, schedule)
        self.logits = nn.Parameter(torch.zeros(spec.dims, spec.levels))

    def log_prob(self, image: Tensor, condition: Batch | None = None) -> Tensor:
        levels = image.flatten(1).long().unsqueeze(2)  # (B, D, 1)
        table = self.logits.log_softmax(1).expand(len(image), -1, -1)  # (B, D, L)
        return table.gather(2, levels).sum((1, 2))

    def sample(
        self, n: int, condition: Batch | None = None, temperature: float = 1.0, generator: Generator | None = None
    ) -> Tensor:
        noise = self.uniform(n, *self.logits.shape, generator=generator)  # (n, D, L)
        chosen = (self.logits / temperature - (-noise.clamp(1e-9).log()).log()).argmax(2)  # Gumbel's trick
        return chosen.to(torch.uint8).view(n, *self.spec.shape)
