"""The one command, ``lightning-gen``: a table of commands. Heavy imports wait until a command needs them."""

import importlib
import io
import sys

from lightning_gen import __version__
from lightning_gen.config.messages import nearest
from lightning_gen.config.trust import trusting
from lightning_gen.errors import UserError
from lightning_gen.reading import inert

__all__ = ["COMMANDS", "entry", "main"]

#: name -> the module whose ``main(arguments)`` runs it, and one line of help
COMMANDS = {
    "fit": ("lightning_gen.training.fit", "train: fit -c CONFIG [-c CONFIG ...] [--key value ...]"),
    "sample": ("lightning_gen.tasks.sample", "draw images from a trained run"),
    "evaluate": ("lightning_gen.tasks.evaluate", "bits/dim and distances of runs on held-out images"),
    "evidence": ("lightning_gen.tasks.evidence", "log p(x) of a VAE with its error, rate, distortion, unused latents"),
    "reconstruct": ("lightning_gen.tasks.reconstruct", "images beside what a model restores of them"),
    "denoise": ("lightning_gen.tasks.denoise", "noise taken off, beside a median filter"),
    "encode": ("lightning_gen.tasks.encode", "a table of codes, and what they keep beside PCA"),
    "latent": ("lightning_gen.tasks.latent", "pictures of the latent space: map, manifold, interpolation"),
    "directions": ("lightning_gen.tasks.directions", "strips along what a first layer finds, a class or an attribute"),
    "axes": ("lightning_gen.tasks.axes", "axes of attributes in a generator's codes, with locks, and what they leak"),
    "leaks": ("lightning_gen.tasks.leaks", "whether augmentations of a GAN's training have leaked into its samples"),
    "faces": ("lightning_gen.tasks.faces", "a page with a slider for each attribute of a generator's pictures"),
    "cluster": ("lightning_gen.tasks.cluster", "clusters of codes held against the labels"),
    "outliers": ("lightning_gen.tasks.outliers", "how surprising each image is; outliers"),
    "density": ("lightning_gen.tasks.density", "a picture of a model's density over a plane, beside the true one"),
    "translate": (
        "lightning_gen.tasks.translate",
        "your own pictures through a translation model",
    ),
    "upscale": ("lightning_gen.tasks.upscale", "your own pictures at a larger size: upscale RUN PICTURES --out FOLDER"),
    "complete": ("lightning_gen.tasks.complete", "fill in the missing part of held-out images"),
    "compose": (
        "lightning_gen.tasks.compose",
        "melodies bar by bar over your chords: MIDI, piano roll, MusicXML, sound",
    ),
    "compress": ("lightning_gen.tasks.compress", "images -> a small file, lossless, by a model's exact probabilities"),
    "decompress": ("lightning_gen.tasks.decompress", "images from such a file"),
    "pack": (
        "lightning_gen.tasks.pack",
        "a data set as shards that stream: pack CONFIG --out FOLDER",
    ),
    "baselines": ("lightning_gen.tasks.baselines", "the same numbers for trivial models of a data set"),
    "submit": ("lightning_gen.launch.submit", "a training as a Slurm job that comes back: submit [options] -- fit ..."),
    "estimate": (
        "lightning_gen.launch.estimate",
        "memory, batch, time, cost on more devices, from a run's numbers",
    ),
    "sweep": ("lightning_gen.launch.sweep", "a sweep file in W&B's format, run here or as Slurm jobs"),
    "export": (
        "lightning_gen.runs.export",
        "weights as safetensors with a model card, to share: export RUN --out FOLDER",
    ),
    "compare": ("lightning_gen.runs.compare", "tables of runs: what is comparable, ranked; --json, --html FILE"),
    "dashboard": ("lightning_gen.runs.dashboard", "the same as a live page in the browser, while training runs"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; a `UserError` becomes one plain line on stderr and exit status 2, Ctrl-C one and 130."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(__version__)
        return 0
    try:
        if arguments[0] not in COMMANDS:
            raise UserError(f"unknown command {arguments[0]}: want {nearest(arguments[0], list(COMMANDS))}")
        with trusting():
            importlib.import_module(COMMANDS[arguments[0]][0]).main(arguments[1:])
    except (UserError, OSError) as error:
        print(f"lightning-gen: {inert(' '.join(str(error).split()))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"lightning-gen: {arguments[0]} interrupted", file=sys.stderr)
        return 130
    return 0


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {about}" for name, (_, about) in COMMANDS.items()]
    return "\n".join(
        ["usage: lightning-gen COMMAND ...", "", *lines, "", "lightning-gen COMMAND --help tells more about each."]
    )


def entry() -> None:
    """The console script. What the terminal has no sign for, such as a name that is no UTF-8, is written out."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(main())


if __name__ == "__main__":
    entry()
