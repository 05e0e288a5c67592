"""How fast does a DCGAN train beside torchgan's? Its networks under its own training step and under the fast path
(frozen opponent, images reused for both players, channels last), in turns with these networks under both.

    python -m benchmarks.gan_peers          # prints a table, writes results/gan_peers.json

At 32x32 its widths 64 and these widths 32 have the same channels at 4x4, 8x8 and 16x16 pixels; these networks have one
more convolution, at full resolution, in each player. So the arithmetic of a step is counted too. torch-mimicry 0.1.16
does not import without TensorFlow.
"""

import argparse
from collections.abc import Callable

import torch
import torchgan.losses
import torchgan.models
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gan import fool, judge
from benchmarks.interleave import interleave, record
from lightning_gen.images import ImageSpec
from lightning_gen.nets.gan.dcgan import DCGANDiscriminator, DCGANGenerator
from lightning_gen.nets.gan.discriminator import DiscriminatorOutput

LATENT, SIZE = 100, 32


def _adam(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999))


class _Verdicts(nn.Module):
    """A discriminator of torchgan as those of this project, whose logits are a part of what they say."""

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        return DiscriminatorOutput(self.discriminator(x))


def _theirs() -> tuple[nn.Module, nn.Module]:
    generator = torchgan.models.DCGANGenerator(LATENT, SIZE, step_channels=64)
    return generator, torchgan.models.DCGANDiscriminator(SIZE, step_channels=64, last_nonlinearity=nn.Identity())


def _ours() -> tuple[nn.Module, nn.Module]:
    spec = ImageSpec(3, SIZE, SIZE)
    return DCGANGenerator(spec, LATENT, width=32), DCGANDiscriminator(spec, width=32)


Networks = tuple[nn.Module, nn.Module]


def _torchgan(networks: Networks, real: Tensor) -> Callable[[], None]:
    """A step as torchgan makes it."""
    generator, discriminator = networks
    ascend, descend = _adam(generator), _adam(discriminator)
    of_generator, of_discriminator = torchgan.losses.MinimaxGeneratorLoss(), torchgan.losses.MinimaxDiscriminatorLoss()
    device = torch.device("cpu")

    def step() -> None:
        of_discriminator.train_ops(generator, discriminator, descend, real, device)
        of_generator.train_ops(generator, discriminator, ascend, device, len(real))

    return step


def _plain(networks: Networks, real: Tensor) -> Callable[[], None]:
    """The loop of tutorials."""
    generator, discriminator = networks
    ascend, descend = _adam(generator), _adam(discriminator)

    def step() -> None:
        judge(discriminator, generator(torch.randn(len(real), LATENT)).detach(), real, descend)
        fool(discriminator, generator(torch.randn(len(real), LATENT)), ascend)

    return step


def _fast(networks: Networks, real: Tensor) -> Callable[[], None]:
    """What ``share_fakes``, ``channels_last`` and the frozen opponent make of it."""
    generator, discriminator = (network.to(memory_format=torch.channels_last) for network in networks)
    ascend, descend = _adam(generator), _adam(discriminator)
    real = real.contiguous(memory_format=torch.channels_last)

    def step() -> None:
        fake = generator(torch.randn(len(real), LATENT))
        judge(discriminator, fake.detach(), real, descend)
        discriminator.requires_grad_(False)
        fool(discriminator, fake, ascend)
        discriminator.requires_grad_(True)

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    real = torch.rand(options.batch, 3, SIZE, SIZE) * 2 - 1
    generator, discriminator = _theirs()
    steps = {
        "torchgan": _torchgan(_theirs(), real),
        "torchgan, fast": _fast((generator, _Verdicts(discriminator)), real),
        "ours, plain": _plain(_ours(), real),
        "ours, fast": _fast(_ours(), real),
    }
    work = {}
    for name, step in steps.items():
        with FlopCounterMode(display=False) as counter:
            step()
        work[name] = round(counter.get_total_flops() / 1e9, 3)
    print("GFLOP a step:", work)
    about = {"images": f"{SIZE}x{SIZE}x3", "batch": options.batch, "gflop": work, "torchgan": "0.1.0"}
    record("gan_peers", interleave(steps, repeats=options.repeats), "torchgan", about)


if __name__ == "__main__":
    main()
