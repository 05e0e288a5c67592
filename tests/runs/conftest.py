"""Run folders in the true format, written by hand: fast, and with every oddity a test may need."""

import json
from pathlib import Path

import numpy as np
import pytest

from lightning_gen.files import write_png

LIKELIHOOD = {
    "data": "digits",
    "fingerprint": "c31bcbf41854af2c",
    "split": "test",
    "levels": 17,
    "shape": [1, 8, 8],
    "bound": "exact",
    "images": 300,
    "seed": 0,
}
DISTANCE = {
    "data": "digits",
    "fingerprint": "c31bcbf41854af2c",
    "split": "test",
    "levels": 17,
    "shape": [1, 8, 8],
    "extractor": "classifier",
    "weights": "0a1b2c3d",
    "resize": "none",
    "dtype": "float64",
    "images": 300,
    "samples": 1000,
    "seed": 0,
}


def bits(value, bound="exact", error=0.01, **changes):
    """An entry of `metrics` for bits/dim."""
    identity = {**LIKELIHOOD, "bound": bound, **changes}
    return {"bits_per_dim": {"value": value, "error": error, "better": "lower", "not_finite": 0, "identity": identity}}


def distance(value, error=0.5, **changes):
    """An entry of `metrics` for a Frechet distance."""
    identity = {**DISTANCE, **changes}
    return {"fd_classifier-0a1b2c3d": {"value": value, "error": error, "better": "lower", "identity": identity}}


def evaluation(metrics, checkpoint="last", images_seen=6000):
    """A row of evaluations.jsonl."""
    split = next(iter(metrics.values()))["identity"]["split"]
    moment = {"images_seen": images_seen, "time": "2026-11-23T12:00:00+00:00", "seconds": 1.5}
    return {**moment, "checkpoint": checkpoint, "split": split, "metrics": metrics}


@pytest.fixture
def make_run(tmp_path):
    """make_run(name, rows, latent_dim=16, kind="run", root=...) -> the folder of a run with these evaluations."""

    def make(name, rows=(), latent_dim=16, kind="run", root: Path = tmp_path / "runs", offset=0.0):
        folder = root / name
        folder.mkdir(parents=True)
        about = {"kind": kind, "name": name, "model": "VAE", "class_path": "lightning_gen.models.vae.VAE"}
        about |= {"parameters": 228497, "data": "digits", "fingerprint": LIKELIHOOD["fingerprint"], "seed": 0}
        about |= {"started": "2026-11-23T12:00:00+00:00", "commit": "9eb3950", "hardware": {"device": "CPU"}}
        (folder / "run.json").write_text(json.dumps(about))
        if rows:
            (folder / "evaluations.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        if kind == "run":
            config = f"model: {{init_args: {{latent_dim: {latent_dim}}}}}\nrun: {{name: {name!r}, images: 6000}}\n"
            (folder / "config.yaml").write_text(config)
            metrics = [
                {"images_seen": seen, "seconds": seen / 500, "train/bits_per_dim": 2 + offset + 2000 / (seen + 500)}
                for seen in range(0, 6001, 200)
            ]
            (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in metrics))
            for seen in (3000, 6000):
                pixels = np.random.default_rng(seen).integers(0, 256, (40, 40, 3), dtype=np.uint8)
                write_png(folder / "samples" / f"{seen:010d}.png", pixels)
        return folder

    return make
