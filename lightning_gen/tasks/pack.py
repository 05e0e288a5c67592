"""A data set as shards: tar files of a thousand images and an index, which training streams from a disk or a URL.

    lightning-gen pack configs/data/digits.yaml --out shards
    lightning-gen fit -c configs/vae/vae.yaml -c configs/data/shards.yaml --data.init_args.root shards

Splits, order and fingerprint are those of the set: numbers compare. Pixels are kept as they are (PNG).
"""

from pathlib import Path

from lightning_gen.config.arguments import Arguments, natural
from lightning_gen.config.loading import load_data
from lightning_gen.data.shards import write_shards
from lightning_gen.files import check_folder

__all__ = ["main"]


def main(arguments: list[str]) -> None:
    """``lightning-gen pack CONFIG --out FOLDER [--images 1000]``."""
    parser = Arguments("pack", __doc__)
    parser.add_argument("config", type=Path, help="YAML with the data set, such as one of configs/data")
    parser.add_argument("--out", type=Path, required=True, help="folder for the shards")
    parser.add_argument("--images", type=natural, default=1000, help="in each shard (1,000)")
    parser.trust()
    options = parser.parse_args(arguments)
    check_folder("--out", options.out)
    index = write_shards(load_data(options.config), options.out, options.images, print)
    count = sum(shard.images for shards in index.splits.values() for shard in shards)
    print(f"{options.out}: {count:,} images, fingerprint {index.fingerprint}")
