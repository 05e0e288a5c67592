"""Images from a file that `lightning-gen compress` wrote with the same run, as a NumPy array (N, C, H, W) of uint8."""

from pathlib import Path

import numpy as np

from lightning_gen.config.arguments import Arguments
from lightning_gen.config.loading import checkpoint_path, load_module
from lightning_gen.errors import UserError
from lightning_gen.files import atomic_write
from lightning_gen.tasks.common.archive import unpack
from lightning_gen.tasks.common.coders import coder_of

__all__ = ["main"]


def main(arguments: list[str]) -> None:
    """``lightning-gen decompress RUN FILE --out IMAGES.npy``."""
    parser = Arguments("decompress", __doc__)
    parser.run()
    parser.add_argument("file", type=Path, help="compressed file")
    parser.file("out", ".npy", required=True, help=".npy file to write")
    options = parser.parse_args(arguments)

    if not options.file.is_file():
        raise UserError(f"file {options.file} does not exist")
    module = load_module(checkpoint_path(options.run, options.checkpoint))
    image = unpack(module, coder_of(module, str(options.run)), options.file.read_bytes())
    with atomic_write(options.out) as stream:
        np.save(stream, image.numpy(), allow_pickle=False)
    print(f"{options.out}: {len(image)} images, their checksum is right")
