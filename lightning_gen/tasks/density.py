"""The density of a model over a plane, where images have two pixels (`ToyWorld`): a picture of the world, of the model
and of its samples, and how far the model is from the world."""

from collections.abc import Iterator

import torch
from torch import Tensor

from lightning_gen.config.arguments import Arguments, positive
from lightning_gen.config.loading import load_run
from lightning_gen.contracts import ImageData, ImageModule, LikelihoodModule
from lightning_gen.errors import UserError
from lightning_gen.evaluation.collection import sample_blocks, seeded
from lightning_gen.files import write_json, write_png
from lightning_gen.images import ImageSpec, draw_density
from lightning_gen.tasks.common.require import require

__all__ = ["distances", "histogram", "main", "probabilities"]


@torch.no_grad()
def main(arguments: list[str]) -> None:
    """``lightning-gen density RUN [--draws K] [--samples N] [--seed S] [--out FILE]``."""
    parser = Arguments("density", __doc__)
    parser.run()
    parser.add_argument("--draws", type=positive, default=16, help="k of the bound of each pair of levels (16)")
    parser.add_argument("--samples", type=positive, default=20000, help="drawn from the model (20000)")
    parser.seed()
    parser.file("out", ".png", help="PNG to write (RUN/samples/density.png)")
    options = parser.parse_args(arguments)

    module, data = load_run(options.run, options.checkpoint)
    model = _of_plane(module)
    p = probabilities(model, options.draws, options.seed)
    drawn = histogram(sample_blocks(model, options.samples, options.seed), model.spec)
    out = options.out or options.run / "samples" / "density.png"
    known = data.probabilities
    panels = [_shares(data) if known is None else known, p, drawn]
    cell = max(1, 256 // model.spec.levels)
    edge = torch.full((model.spec.levels * cell, 4), 255, dtype=torch.uint8)
    shown = torch.cat([part for panel in panels for part in (draw_density(panel, cell), edge)][:-1], 1)
    write_png(out, shown[..., None].expand(-1, -1, 3).numpy())
    facts: dict[str, float] = {"total_probability": p.sum().item()}
    if known is not None:
        facts |= distances(known, p)
    bound = _bound(model, options.draws)
    write_json(out.with_suffix(".json"), {"bound": bound, "draws": options.draws, **facts})
    print("\n".join(f"{key.replace('_', ' ')}: {value:.4f}" for key, value in facts.items()))
    print(f"{out}: {data.name}, model ({bound}), {options.samples:,} samples")


def _of_plane(module: ImageModule) -> LikelihoodModule:
    """`module` as what it is; raises where its density cannot be drawn."""
    model = require(module, LikelihoodModule)
    if model.spec.dims != 2:
        raise UserError(f"images are {model.spec}: want two pixels, as of configs/data/toy.yaml")
    if model.condition_keys:
        raise UserError(f"{type(model).__name__} has a condition: want a model without")
    return model


def _bound(module: LikelihoodModule, draws: int) -> str:
    return module.bound if module.bound == "exact" or draws == 1 else f"{module.bound}, mean of {draws} draws"


def probabilities(module: LikelihoodModule, draws: int = 1, seed: int = 0) -> Tensor:
    """Compute P of every image of two pixels, float64 (levels, levels), the first pixel down: the mean of `draws` of
    exp(log_prob), one where it is exact. Sums to 1 for an exact likelihood, to at most 1 on average for a bound."""
    levels = torch.arange(module.spec.levels, dtype=torch.uint8)
    images = torch.cartesian_prod(levels, levels).view(-1, *module.spec.shape).to(module.device)
    total = torch.zeros(len(images), dtype=torch.float64, device=module.device)
    count = 1 if module.bound == "exact" else draws
    with seeded(module.device, seed, 0):
        for _ in range(count):
            total += torch.cat([module.log_prob(part) for part in images.split(4096)]).double().exp()
    return (total / count).view(len(levels), len(levels)).cpu()


def histogram(blocks: Iterator[Tensor], spec: ImageSpec) -> Tensor:
    """Count the share of each pair of levels among images (B, ...) of two pixels, float64 (levels, levels)."""
    counts = torch.zeros(spec.levels**2, dtype=torch.float64)
    for block in blocks:
        first, second = block.flatten(1).long().cpu().unbind(1)
        counts += (first * spec.levels + second).bincount(minlength=spec.levels**2)
    return (counts / counts.sum()).view(spec.levels, spec.levels)


def _shares(data: ImageData) -> Tensor:
    """What stands for the true probabilities where they are not known: the shares in the test images."""
    return histogram((batch["image"] for batch in data.batches("test", 4096)), data.spec)


def distances(world: Tensor, model: Tensor) -> dict[str, float]:
    """Compute KL(world || model) in bits/dim, what the model costs above the world's entropy; and total variation of
    the model normalised, 0 to 1. Both float64 (L, L)."""
    likely = world > 0
    nats = (world[likely] * (world[likely].log() - model[likely].log())).sum()
    apart = (world - model / model.sum()).abs().sum() / 2
    return {"kl_bits_per_dim": float(nats) / (2 * torch.tensor(2.0).log().item()), "total_variation": float(apart)}
