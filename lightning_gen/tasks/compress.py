"""Lossless compression of images with a model: `decompress` undoes it. By range coding where the model knows exact
probabilities, by bits back where it is a VAE with a Gaussian code and a standard normal prior."""

from pathlib import Path

import numpy as np

from lightning_gen.batches import join, keep
from lightning_gen.config.arguments import Arguments
from lightning_gen.config.loading import checkpoint_path, load_fitting, load_module
from lightning_gen.files import atomic_write
from lightning_gen.tasks.common.archive import pack
from lightning_gen.tasks.common.coders import coder_of

__all__ = ["main"]


def main(arguments: list[str]) -> None:
    """``lightning-gen compress RUN --out FILE [--split test] [--data CONFIG]``."""
    parser = Arguments("compress", __doc__)
    parser.run()
    parser.add_argument("--data", type=Path, metavar="CONFIG", help="YAML of another data set (the run's own)")
    parser.split()
    parser.file("out", required=True, help="file to write")
    options = parser.parse_args(arguments)

    module = load_module(checkpoint_path(options.run, options.checkpoint))
    coder = coder_of(module, str(options.run))
    data = load_fitting(options.run, module, options.data)
    parts = list(data.batches(options.split, 512))
    batch = join([keep(part, ("image", *module.condition_keys)) for part in parts])
    content, nats = pack(module, coder, batch)
    with atomic_write(options.out) as stream:
        stream.write(content)
    ideal, count = nats / np.log(2.0), batch["image"].numel()
    size = f"{len(batch['image'])} images, {len(content):,} bytes, {8 * len(content) / count:.4f} bits/dim"
    print(f"{options.out}: {size}; {coder.cost} {ideal / 8:,.1f} bytes, {ideal / count:.4f} bits/dim")
