"""Do the alarms fire on sick GANs and stay silent on healthy ones? Seeded runs of each trouble on purpose and of its
remedy, counted; writes the table of docs/gan_health.md and docs/img/gan_health.png. A run that is there stays.

    python -m benchmarks.gan_health                     # everything: about 15 minutes of one core
    python -m benchmarks.gan_health --cases collapse    # trains a part of it
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.documents import write_between
from benchmarks.interleave import RESULTS, hardware
from lightning_gen.config.cli import main as command
from lightning_gen.config.loading import checkpoint_path, load_module
from lightning_gen.contracts import GenerativeModule
from lightning_gen.files import write_figure, write_json
from lightning_gen.images import grid, to_signed
from lightning_gen.reading import read_json, read_rows

__all__ = ["CASES", "Case", "alarms_of", "train"]

HERE, DOCS, PICTURE = Path(__file__).parent, Path("docs/gan_health.md"), Path("docs/img/gan_health.png")
BEGIN, END = "<!-- begin: written by benchmarks.gan_health -->", "<!-- end -->"
_MODEL = "--model.init_args."
_D_RATE, _G_RATE = (f"{_MODEL}training.{player}_optimizer.init_args.lr" for player in ("discriminator", "generator"))
_GAME, _PENALTIES = f"{_MODEL}loss", f"{_MODEL}regularizers"
_LOSSES = "lightning_gen.losses."


class Case(NamedTuple):
    """What is done to ``ring.yaml``, with which seeds, and the alarm that should come (None: silence)."""

    title: str
    alarm: str | None
    seeds: range
    arguments: list[str]


_DIGITS = ["--data", "lightning_gen.data.digits.Digits", "--data.init_args.batch_size", "128"]
CASES = {
    "collapse": Case("generator ten times as fast: 1e-2", "collapse", range(5), [_G_RATE, "0.01"]),
    "oscillation": Case(
        "Wasserstein loss without any penalty", "oscillation", range(1), [_GAME, f"{_LOSSES}adversarial.Wasserstein"]
    ),
    "vanishing": Case(
        "saturating loss, discriminator 1e-2, digits",
        "vanishing gradients",
        range(2),
        [*_DIGITS, _GAME, f"{_LOSSES}adversarial.Saturating", _D_RATE, "0.01"],
    ),
    "fast_discriminator": Case("discriminator ten times as fast: 1e-2", None, range(5), [_D_RATE, "0.01"]),
    # Betas and decay as published (Gulrajani et al. 2017): momentum alone keeps this game moving.
    "wgan_gp": Case(
        "Wasserstein loss, gradient penalty 1, betas 0, 0.9",
        None,
        range(5),
        [
            *(_GAME, f"{_LOSSES}adversarial.Wasserstein", _D_RATE, "0.005"),
            *(_PENALTIES, f"[{{class_path: {_LOSSES}penalties.GradientPenalty, init_args: {{weight: 1.0}}}}]"),
            *(f"{_MODEL}training.discriminator_optimizer.init_args.betas", "[0.0, 0.9]"),
            *(f"{_MODEL}training.generator_optimizer.init_args.betas", "[0.0, 0.9]"),
            *(
                f"{_MODEL}training.schedule",
                "{class_path: lightning_gen.schedules.LinearDecay, init_args: {end: 51200}}",
            ),
        ],
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", choices=list(CASES), nargs="+", default=list(CASES))
    parser.add_argument("--root", type=Path, default=Path("runs/gan_health"))
    options = parser.parse_args()
    for name in options.cases:
        for seed in CASES[name].seeds:
            train(options.root, name, seed)
            print(name, seed, alarms_of(options.root / f"{name}-{seed}") or "silent", flush=True)
    if options.cases == list(CASES):
        _write(options.root)


def train(root: Path, name: str, seed: int, *arguments: str) -> Path:
    """Train a case unless it is there; its run folder."""
    run = root / f"{name}-{seed}"
    if not (run / "checkpoints" / "last.ckpt").exists():
        words = ["fit", "-c", str(HERE / "ring.yaml"), "--run.root", str(root), "--run.name", run.name]
        words += ["--seed_everything", str(seed), "--evaluation.samples", "0", "--trainer.accelerator", "cpu"]
        words += ["--trainer.log_every_n_steps", "1000", *CASES[name].arguments, *arguments]
        if command(words):
            raise SystemExit(2)
    return run


def alarms_of(run: Path) -> list[str]:
    """Names of the alarms of a run, in the order in which they came."""
    path = run / "alarms.jsonl"
    return [row["alarm"] for row in read_rows(path)] if path.exists() else []


def _readings(run: Path) -> list[dict[str, float]]:
    return [row for row in read_rows(run / "metrics.jsonl") if "health/fixed_noise_drift" in row]


def _write(root: Path) -> None:
    rows: list[dict[str, Any]] = []
    for name, case in CASES.items():
        for seed in case.seeds:
            run = root / f"{name}-{seed}"
            last = {k.removeprefix("health/"): v for k, v in _readings(run)[-1].items()}
            raised = alarms_of(run)
            right = case.alarm in raised if case.alarm else not raised
            commit = read_json(run / "run.json")["commit"]
            rows.append({"case": name, "seed": seed, "alarms": raised, "right": right, "commit": commit, "last": last})
    write_json(RESULTS / "gan_health.json", {"hardware": hardware(), "rows": rows})
    _draw(root)
    write_between(DOCS, BEGIN, END, _table(rows))


def _table(rows: list[dict[str, Any]]) -> str:
    lines = ["", "| run | seeds | alarm wanted | as wanted | alarms raised | modes at the end, of 8 |"]
    lines += ["|---|---|---|---|---|---|"]
    for name, case in CASES.items():
        own = [row for row in rows if row["case"] == name]
        raised = {alarm: sum(alarm in row["alarms"] for row in own) for row in own for alarm in row["alarms"]}
        told = ", ".join(f"{alarm} {count}" for alarm, count in raised.items()) or "none"
        modes = ", ".join(f"{row['last']['modes']:.0f}" for row in own if "modes" in row["last"]) or "not known"
        right = f"{sum(row['right'] for row in own)} of {len(own)}"
        lines.append(f"| {case.title} | {len(own)} | {case.alarm or 'none'} | {right} | {told} | {modes} |")
    sick = [row["right"] for row in rows if CASES[row["case"]].alarm]
    well = [row["right"] for row in rows if not CASES[row["case"]].alarm]
    told = f"Sick runs with their alarm: {sum(sick)} of {len(sick)}. "
    told += f"Runs meant healthy that stay silent: {sum(well)} of {len(well)}."
    return "\n".join([*lines, "", told])


def _draw(root: Path) -> None:
    """Of seed 0 of each case: images of the live weights at the end, and readings over images seen."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.1 * len(CASES), 5.6), layout="constrained")
    axes = figure.subplots(2, len(CASES))
    for (name, case), (above, below) in zip(CASES.items(), axes.T, strict=True):
        run = root / f"{name}-0"
        _draw_images(above, run)
        above.set_title(f"{name.replace('_', ' ')}\n{case.title}", fontsize=8)
        readings = _readings(run)
        seen = [row["images_seen"] for row in readings]
        largest = max(row["health/gradient_g"] for row in readings)
        curves = {
            "gradient of G / its largest": [row["health/gradient_g"] / largest for row in readings],
            "diversity": [row["health/diversity"] for row in readings],
            "fixed_noise_drift": [row["health/fixed_noise_drift"] for row in readings],
            "share of modes": [row.get("health/mode_share", float("nan")) for row in readings],
        }
        for label, values in curves.items():
            below.plot(seen, values, label=label, linewidth=1.2)
        below.set(ylim=(0, 2.2), xlabel="images seen")
    axes[1][0].legend(frameon=False, fontsize=7)
    write_figure(PICTURE, figure, dpi=66)


@torch.no_grad()
def _draw_images(axes: Any, run: Path) -> None:
    module = load_module(checkpoint_path(run), ema=False)
    assert isinstance(module, GenerativeModule)
    images = module.sample(1000, generator=torch.Generator().manual_seed(0))
    axes.set(xticks=[], yticks=[])
    if module.spec.dims > 2:
        axes.imshow(grid(images[:36], module.spec.levels, columns=6).numpy())
        return
    x, y = to_signed(images, module.spec.levels).flatten(1).T
    angles = torch.arange(8) * torch.pi / 4
    axes.scatter(0.7 * angles.cos(), 0.7 * angles.sin(), s=500, facecolors="none", edgecolors="0.6")
    axes.scatter(x, y, s=3, alpha=0.4)
    axes.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal")


if __name__ == "__main__":
    main()
