"""Identities and numbers in plain words, the same in the terminal, the report and the board."""

import math
from typing import Any

from lightning_gen.runs.read import RunRecord

__all__ = ["bound_words", "duration_words", "identity_words", "metric_words", "plain", "progress_words", "value_words"]

_BOUNDS = {
    "exact": "exact: the negative log-likelihood or code length itself",
    "dequantized": "dequantized: an upper bound, by uniform noise within each level",
    "elbo": "elbo: an upper bound, by a variational posterior",
    "iwae-k": "iwae-k: an upper bound, by importance weights",
}
#: keys of an identity, and how their values are said
_IDENTITY = (
    (("data", "fingerprint"), "{} (fingerprint {})"),
    (("data",), "{}"),
    (("split",), "{} split"),
    (("images",), "{} images"),
    (("samples",), "against {} samples"),
    (("shape",), "{} pixels"),
    (("levels",), "{} levels"),
    (("extractor", "weights"), "features of {} (weights {})"),
    (("resize",), "resize {}"),
    (("dtype",), "in {}"),
    (("chains", "bars"), "{} chains of {} bars"),
    (("k",), "{} nearest neighbours"),
    (("subsets", "size"), "{} subsets of {}"),
)
_METRICS = {
    "bits_per_dim": "bits/dim",
    "fd": "Frechet distance",
    "fid": "FID",
    "kid": "KID",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "psnr": "PSNR in dB",
    "ssim": "SSIM",
    "l1": "L1",
    "lpips": "LPIPS",
    "accuracy": "pixel accuracy",
    "iou": "mean intersection over union",
    "cycle": "cycle error",
    "texture": "gradients by those of the truth",
}


def identity_words(identity: dict[str, Any]) -> str:
    """``digits (fingerprint c31bcbf4), test split, 300 images, 1x8x8 pixels, 17 levels``; keys unknown here follow."""
    left = {key: value for key, value in identity.items() if value is not None}
    words = []
    for keys, form in _IDENTITY:
        if all(key in left for key in keys):
            words.append(form.format(*(plain(left.pop(key)) for key in keys)))
    return ", ".join([*words, *(f"{key} {plain(value)}" for key, value in sorted(left.items()))])


def plain(value: Any) -> str:
    """A value of an identity: ``1x8x8``, ``1,000``."""
    if isinstance(value, list):
        return "x".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def metric_words(metric: str, better: str) -> str:
    """``bits/dim, lower is better``."""
    stem = metric.split("-")[0].split("_")[0]
    title = _METRICS.get(metric) or _METRICS.get(stem)
    name = f"{title} ({metric})" if title and title != metric and metric != "bits_per_dim" else title or metric
    return f"{name}, {better} is better"


def bound_words(bound: str) -> str:
    """What kind of number a likelihood is."""
    return _BOUNDS.get(bound, bound)


def value_words(value: float | None, error: float | None) -> str:
    """``1.940 ± 0.012``: as many digits as the error allows, two of its own; three decimals without an error."""
    if value is None:
        return "not finite"
    if not error:
        return f"{value:,.3f}"
    digits = min(6, max(0, 1 - math.floor(math.log10(abs(error)))))
    return f"{value:,.{digits}f} ± {error:,.{digits}f}"


def duration_words(seconds: float | None) -> str:
    """``2 h 05 min``, ``3 min 20 s``, ``12 s``; empty for None."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def progress_words(run: RunRecord) -> str:
    """Images seen, and of how many where the run has not come to its end."""
    if run.baseline:
        return ""
    if run.budget and run.images_seen < run.budget:
        return f"{run.images_seen:,} of {run.budget:,}"
    return f"{run.images_seen:,}"
