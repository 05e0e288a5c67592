"""A generator: any `nn.Module` with the arguments that the model calls it with."""

from torch import Tensor, nn

from lightning_gen.images import ImageSpec


class Wash(nn.Module):
    """z (B, Z) -> signed images (B, C, H, W), by one linear layer."""

    def __init__(self, spec: ImageSpec, latent_dim: int, features: int = 0, softness: float = 1.0) -> None:
        super().__init__()
        self.softness = softness
        self.layers = nn.Sequential(nn.Linear(latent_dim, spec.dims), nn.Unflatten(1, spec.shape))

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return (self.layers(z) / self.softness).tanh()  # (B, C, H, W)
