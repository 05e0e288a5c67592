"""Bits/dim of a run on held-out images, with what kind of number it is."""

import json

from lightning_gen.arguments import Arguments
from lightning_gen.base import LikelihoodModule
from lightning_gen.errors import UserError
from lightning_gen.evaluation import evaluate_likelihood
from lightning_gen.files import write_json
from lightning_gen.loading import load_run

__all__ = ["main"]


def main(arguments: list[str]) -> None:
    """``lightning-gen evaluate RUN [--split test] [--seed S]``."""
    parser = Arguments("evaluate", __doc__)
    parser.run()
    parser.add_argument("--split", choices=["train", "val", "test"], default="test")
    parser.seed()
    options = parser.parse_args(arguments)

    module, data = load_run(options.run, options.checkpoint)
    if not isinstance(module, LikelihoodModule):
        raise UserError(f"{type(module).__name__} has no likelihood: bits/dim wants a flow, a VAE or a PixelCNN")
    numbers = evaluate_likelihood(module, data, options.split, options.seed)
    write_json(options.run / f"evaluation-{options.split}.json", numbers)
    print(json.dumps(numbers))
