"""A trained model in a folder to share: weights as safetensors, its configuration, and a card that says what it is.

    lightning-gen export RUN --out FOLDER
    lightning-gen sample FOLDER                    # the folder stands wherever a run's does
    load_module("FOLDER/model.safetensors")        # lightning_gen.config.loading

The weights are the averaged ones where the run has an average, and of the part that samples alone: a GAN's
discriminator and all optimizers stay behind. The file needs nothing beside it: its header says how the model is built.
"""

import shutil
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save

from lightning_gen.config.arguments import Arguments
from lightning_gen.config.loading import checkpoint_path, export_header, load_module
from lightning_gen.contracts import GenerativeModule, ImageModule, TranslationModule
from lightning_gen.errors import UserError
from lightning_gen.files import atomic_write, check_folder, write_png, write_text
from lightning_gen.images import grid
from lightning_gen.reading import parse_yaml, read_text
from lightning_gen.runs.onnx import check_onnx, write_onnx
from lightning_gen.runs.read import RunRecord, read_run
from lightning_gen.runs.words import bound_words, identity_words, value_words

__all__ = ["card", "main"]

#: sections of the run's configuration that a stranger can use
_SECTIONS = ("seed_everything", "data", "model", "evaluation")

#: how to use the folder, on the card
_SAMPLE = """    lightning-gen sample FOLDER
    lightning-gen evaluate FOLDER

or in Python:

    import lightning_gen as lg
    images = lg.load("FOLDER").sample(64)   # images.tensor is uint8 (64, C, H, W)
"""
_TRANSLATE = """    lightning-gen translate FOLDER PICTURES --out OUT
    lightning-gen evaluate FOLDER

or in Python:

    import lightning_gen as lg
    lg.load("FOLDER").translate_files("PICTURES", "OUT")
"""


@torch.no_grad()
def main(arguments: list[str]) -> None:
    """``lightning-gen export RUN --out FOLDER [--checkpoint best] [--onnx]``."""
    parser = Arguments("export", __doc__)
    parser.run()
    parser.add_argument("--out", type=Path, required=True, help="new folder: weights, configuration, card, samples")
    parser.add_argument("--onnx", action="store_true", help="a translation model's network as model.onnx, checked")
    options = parser.parse_args(arguments)
    if options.out.exists():
        raise UserError(f"--out {options.out} exists already: want a new folder")
    check_folder("--out", options.out)
    path = checkpoint_path(options.run, options.checkpoint)
    if path.suffix != ".ckpt":
        raise UserError(f"run {options.run} is an exported model: want a run folder, or a copy of it")
    module, run = load_module(path), read_run(options.run)
    translator = check_onnx(module) if options.onnx else None
    part = options.out.with_name(f".{options.out.name}.part")  # the folder appears when it is complete
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        taken = write_onnx(part / "model.onnx", translator) if translator else None
        _write(part, module, path, run, options.checkpoint, taken)
        part.rename(options.out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    print(f"{options.out}{f', model.onnx: {taken}' if taken else ''}")


def _write(folder: Path, module: ImageModule, path: Path, run: RunRecord, checkpoint: str, onnx: str | None) -> None:
    tensors = {key: value.detach().clone().contiguous() for key, value in module.ema_network.state_dict().items()}
    with atomic_write(folder / "model.safetensors") as stream:
        stream.write(save(tensors, export_header(path)))
    config = parse_yaml(read_text(run.folder / "config.yaml", "config"), "config.yaml") or {}
    kept = {key: config[key] for key in _SECTIONS if key in config}
    write_text(folder / "config.yaml", yaml.safe_dump(kept, sort_keys=False))
    if isinstance(module, GenerativeModule):
        samples = module.sample(64, generator=torch.Generator().manual_seed(0))
        write_png(folder / "samples.png", grid(samples, module.spec.levels).numpy())
    write_text(folder / "README.md", card(module, run, checkpoint, onnx))


def card(module: ImageModule, run: RunRecord, checkpoint: str, onnx: str | None = None) -> str:
    """The model card, Markdown: what the model is, how it came about, every number measured of this checkpoint; `onnx`:
    what its ONNX file takes."""
    about, spec = run.about, module.spec
    weights = sum(value.numel() for value in module.ema_network.state_dict().values())
    trained = f"{module.images_seen:,} training images of {about.get('data')} (fingerprint {about.get('fingerprint')})"
    hardware = about.get("hardware", {})
    facts = {
        "model": about.get("class_path"),
        "weights": f"{weights:,}, {_which(module, run)}",
        "images": f"{spec.channels}x{spec.height}x{spec.width} pixels, {spec.levels} levels",
        "trained on": f"{trained}, {checkpoint} checkpoint",
        "seed": about.get("seed"),
        "code": f"lightning-gen {about.get('version')}, commit {about.get('commit')}",
        "with": ", ".join(f"{name} {version}" for name, version in about.get("versions", {}).items()),
        "on": f"{about.get('processes', 1)} process(es), {hardware.get('device')}, {hardware.get('cores')} cores",
    }
    facts |= {"model.onnx": f"signed sources to signed images, float32; {onnx}"} if onnx else {}
    translates = isinstance(module, TranslationModule)
    tag = "image-to-image" if translates else "unconditional-image-generation"
    picture = "![64 samples, seed 0](samples.png)\n\n" if isinstance(module, GenerativeModule) else ""
    return (
        "---\nlibrary_name: lightning-gen\npipeline_tag: "
        f"{tag}\n---\n\n# {run.label}\n\n{picture}"
        + _table(("", ""), [(name, str(value)) for name, value in facts.items()])
        + f"\n## Measured\n\n{_numbers(module, run)}"
        "\nNumbers of other images, features or bounds do not compare with these. Uses, biases and the licence of the"
        " training images were not looked at by the program that wrote this card.\n"
        f"\n## Use\n\n{_TRANSLATE if translates else _SAMPLE}"
    )


def _which(module: ImageModule, run: RunRecord) -> str:
    average = run.config.get("run.ema")
    part = "of the part that samples" if module.ema_network is not module else "of the whole model"
    return f"{part}, averaged in training (decay {average if average is not None else 'a ramp'})"


def _numbers(module: ImageModule, run: RunRecord) -> str:
    """A row per number; the newest measurement of a metric, images and weights wins."""
    rows: dict[tuple[str, str], tuple[str, ...]] = {}
    for evaluation in run.evaluations:
        if evaluation.get("images_seen") != module.images_seen:
            continue
        for name, metric in evaluation["metrics"].items():
            identity: dict[str, Any] = dict(metric["identity"])
            bound = identity.pop("bound", None)
            kind = [bound_words(bound)] if bound else []
            of = "; ".join([*kind, identity_words(identity)])
            rows[name, of] = (name, value_words(metric["value"], metric["error"]), metric["better"], of)
    if not rows:
        return f"Nothing was measured of this checkpoint ({module.images_seen:,} images seen).\n"
    return _table(("metric", "value ± error", "better", "what it is"), list(rows.values()))


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
