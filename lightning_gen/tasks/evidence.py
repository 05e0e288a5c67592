"""What the bound of a VAE is made of: importance-sampled log p(x) with its error, rate and distortion, which latent
variables are used; and a plain line where the posterior has collapsed."""

import math
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from lightning_gen.batches import Batch, without_image
from lightning_gen.config.arguments import Arguments, positive
from lightning_gen.config.loading import load_run
from lightning_gen.contracts import StochasticLatentModule, VariationalModule
from lightning_gen.evaluation.collection import BLOCK, seeded
from lightning_gen.files import write_json
from lightning_gen.inference.importance import ACTIVE, fitted_kl, importance_sampled, unit_activity
from lightning_gen.tasks.common.require import require

__all__ = ["COLLAPSED", "alarms", "main", "mean_and_error"]

#: a group of latent variables with a rate below this, in nats per image, carries next to nothing
COLLAPSED = 0.05
_DRAWS = 64  # of each posterior, for the rate of single variables


def main(arguments: list[str]) -> None:
    """``lightning-gen evidence RUN [--weights K] [--split test] [--images N] [--seed S]``."""
    parser = Arguments("evidence", __doc__)
    parser.run()
    parser.add_argument("--weights", type=positive, default=64, help="k, draws of the code per image (64)")
    parser.split()
    parser.add_argument("--images", type=positive, help="at most so many (all)")
    parser.seed()
    options = parser.parse_args(arguments)

    found, data = load_run(options.run, options.checkpoint)
    module = require(found, VariationalModule)
    batches = list(data.batches(options.split, BLOCK, 0, options.images))
    facts = _bound(module, batches, options.weights, options.seed)
    if isinstance(module, StochasticLatentModule):
        facts["variables"] = _variables(module, batches, options.seed)
    facts |= {"split": options.split, "images_seen": module.images_seen, "alarms": alarms(facts)}
    _show(str(options.run), facts)  # first: a run that cannot be written to must not cost the numbers
    write_json(options.run / "evidence.json", facts)


@torch.no_grad()
def _bound(module: VariationalModule, batches: list[Batch], weights: int, seed: int) -> dict[str, Any]:
    """Nats per image; with all images of a split the same draws as ``evaluate --weights K``."""
    parts: list[tuple[Tensor, Tensor]] = []
    for block, batch in enumerate(batches):
        with seeded(module.device, seed, block):
            draws = [module.terms(batch["image"], without_image(batch)) for _ in range(weights)]
        parts.append((torch.stack([d[0] for d in draws]).double(), torch.stack([d[1] for d in draws]).double()))
    log_likelihood, kl = torch.cat([p[0] for p in parts], 1), torch.cat([p[1] for p in parts], 1)  # (K, N), (K, N, G)
    logs = log_likelihood - kl.sum(2)
    evidence = importance_sampled(logs)
    images = logs.shape[1]
    finite = torch.nan_to_num(evidence.error)  # one draw has no spread
    return {
        "images": images,
        "weights": weights,
        "elbo": mean_and_error(logs.mean(0)),
        "importance_sampled": mean_and_error(evidence.log_prob),
        "sampling_error": (finite.square().sum().sqrt() / images).item(),
        "effective_draws": evidence.effective.median().item(),
        "distortion": mean_and_error(-log_likelihood.mean(0)),
        "rate": mean_and_error(kl.sum(2).mean(0)),
        "groups": kl.mean((0, 1)).tolist(),
        "bits_per_dim": module.to_bits(-evidence.log_prob.mean()).item(),
    }


def mean_and_error(values: Tensor) -> dict[str, float]:
    """Mean over images and its standard error."""
    error = (values.std() / math.sqrt(len(values))).item() if len(values) > 1 else 0.0
    return {"value": values.mean().item(), "error": error}


@torch.no_grad()
def _variables(module: StochasticLatentModule, batches: list[Batch], seed: int) -> dict[str, list[float]]:
    """Of each latent variable: activity of its mean over images, and rate by itself."""
    codes, means = [], []
    assert isinstance(module, VariationalModule)
    for block, batch in enumerate(batches):
        condition = without_image(batch)
        with seeded(module.device, seed, block):
            drawn = torch.stack([module.draw_code(batch["image"], condition) for _ in range(_DRAWS)])
        codes.append(drawn)
        means.append(drawn.mean(0))
    prior = module.draw_prior(10_000, generator=torch.Generator().manual_seed(seed))
    activity = unit_activity(torch.cat(means))
    return {"activity": activity.tolist(), "rate": fitted_kl(torch.cat(codes, 1), prior).tolist()}


def alarms(facts: dict[str, Any]) -> list[str]:
    """Write plain lines where latent variables carry nothing."""
    lines = []
    dead = [i for i, rate in enumerate(facts["groups"]) if rate < COLLAPSED]
    if len(facts["groups"]) > 1 and dead:
        lines.append(f"posterior collapse: layers {', '.join(map(str, dead))} have a rate below {COLLAPSED} nats")
    elif dead:
        lines.append(f"posterior collapse: the rate is below {COLLAPSED} nats, codes say nothing about images")
    activity = facts.get("variables", {}).get("activity", [])
    idle = sum(value <= ACTIVE for value in activity)
    if idle > len(activity) / 2:
        lines.append(f"posterior collapse: {idle} of {len(activity)} latent variables are not used")
    return lines


def _show(run: str, facts: dict[str, Any]) -> None:
    table = Table(title=f"{run}: {facts['images']:,} {facts['split']} images")
    for column in ("nats per image", "value", "± error", "what it is"):
        table.add_column(column, justify="right" if column in ("value", "± error") else "left")
    about = {
        "elbo": "lower bound, mean of all draws",
        "importance_sampled": f"iwae-{facts['weights']}, {facts['bits_per_dim']:.4f} bits/dim",
        "distortion": "-log p(x|z)",
        "rate": "KL from the prior; ELBO = -(distortion + rate)",
    }
    for name, what in about.items():
        table.add_row(name.replace("_", " "), f"{facts[name]['value']:.3f}", f"{facts[name]['error']:.3f}", what)
    spread = f"of {facts['weights']} draws per image; {facts['effective_draws']:.1f} effective (median)"
    table.add_row("error of the sampling", f"{facts['sampling_error']:.4f}", "", spread)
    if len(facts["groups"]) > 1:
        for layer, rate in enumerate(facts["groups"]):
            table.add_row(f"rate of layer {layer}", f"{rate:.3f}", "", "")
    console = Console()
    console.print(table)
    if "variables" in facts:
        activity, rates = facts["variables"]["activity"], facts["variables"]["rate"]
        active = sum(value > ACTIVE for value in activity)
        console.print(f"active latent variables: {active} of {len(activity)} (variance of the mean above {ACTIVE})")
        console.print("rate of each, nats: " + " ".join(f"{rate:.2f}" for rate in sorted(rates, reverse=True)))
    for line in facts["alarms"]:
        console.print(f"[bold red]{line}")
