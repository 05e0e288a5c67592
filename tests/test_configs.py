"""The contract of every YAML: it builds, trains, reloads from its checkpoint alone and samples bit-equal."""

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lightning_gen.config.cli import COMMANDS, main
from lightning_gen.config.loading import load_module
from lightning_gen.contracts import (
    GenerativeModule,
    ImageModule,
    TranslationModule,
)
from lightning_gen.training.callbacks.record import SampleGrids
from lightning_gen.training.fit import build
from lightning_gen.training.fit import main as fit
from tests.shipped import CONFIGS

#: of translations they are for sets of their own
SIZES = sorted(Path("configs/pictures").glob("*.yaml"))
TRANSLATIONS = [p for p in SIZES if re.search("configs/(translation|super_resolution)", p.read_text())]
SENTENCES = [p for p in SIZES if "configs/text" in p.read_text()]
OVERLAYS = [p for p in SIZES if p not in TRANSLATIONS and p not in SENTENCES]
#: for pictures of any size; the others are for points of a plane
# Worlds of points, pieces of music and translations have data of their own kind.
OTHERS = ("toy", "pairs", "bars", "shape_maps", "shape_domains", "embedded_pictures")
# Sentences need captions.
OF_PICTURES = [
    p for p in CONFIGS if p.parent.name != "text" and not any(f"data.{room}" in p.read_text() for room in OTHERS)
]
SHARED = Path(os.environ.get("LIGHTNING_GEN_SHARED", "../shared")) / "data"
QUIET = ["--trainer.accelerator", "cpu"]
# Their embedded classifier would train for minutes; tests/evaluation/test_protocol.py has the distances.
NO_DISTANCES = ["--evaluation.samples", "0"]
STEPS = "--model.init_args.bijection.init_args.steps"
# Flows repeat their step: a part of them shows as much, and their gradients are looked at with all.
FEWER = {f"text-{name}": NO_DISTANCES for name in ("one_stage", "stackgan", "stackgan_tree")} | {
    "flow-glow_deep": [STEPS, "8"],
    "flow-flowpp": [STEPS, "2"],
    "flow-glow_5bit": NO_DISTANCES,
}
FEWER |= dict.fromkeys(("gan-stylegan2_shapes", "translation-pix2pix"), NO_DISTANCES)


def _name(config: Path) -> str:
    return f"{config.parent.name}-{config.stem}"


def _on_pictures():
    """Each YAML on both sets; by default each third on one of them, in turns."""
    for i, config in enumerate(OF_PICTURES):
        for j, data in enumerate(("mnist", "cifar10")):
            marks = [] if i % 3 == 0 and (i // 3 + j) % 2 == 0 else [pytest.mark.exhaustive]
            yield pytest.param(config, data, marks=marks, id=f"{_name(config)}-{data}")


@pytest.mark.parametrize("config", CONFIGS, ids=_name)
def test_config_keeps_its_promises(config, tmp_path):
    """Two batches in mixed 16 bits: nothing mixes dtypes, and all that is learned stays finite float32."""
    arguments = ["-c", str(config), "--run.root", str(tmp_path), "--run.name", "x", "--run.images", "32", *QUIET]
    arguments += ["--data.init_args.batch_size", "16", "--evaluation.samples", "64"]
    arguments += ["--trainer.precision", "bf16-mixed"]
    fit([*arguments, *FEWER.get(_name(config), [])])
    folder = tmp_path / "x"
    a, b = (load_module(folder / "checkpoints" / "last.ckpt") for _ in range(2))
    assert a.images_seen == 32
    if isinstance(a, GenerativeModule | TranslationModule):
        _samples_agree(a, b)
        assert (folder / "samples").is_dir()
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    floats = {name: value for name, value in state.items() if value.is_floating_point()}
    assert {value.dtype for value in floats.values()} <= {torch.float32, torch.float64}
    assert [name for name, value in floats.items() if not value.isfinite().all()] == []
    assert {"config.yaml", "run.json", "checkpoints"} <= {p.name for p in folder.iterdir()}


def _made(module: ImageModule, generator: torch.Generator) -> torch.Tensor:
    if isinstance(module, TranslationModule):
        source = module.spec.source
        return module.translate({"source": torch.zeros(3, *source.shape, dtype=torch.uint8)}, generator)
    return module.sample(3, generator=generator)


@torch.no_grad()
def _samples_agree(a: ImageModule, b: ImageModule) -> None:
    first, second = (_made(m, torch.Generator().manual_seed(1)) for m in (a, b))
    assert first.dtype == torch.uint8
    assert first.shape == (3, *a.spec.shape)
    assert int(first.max()) < a.spec.levels
    assert torch.equal(first, second)


@pytest.mark.parametrize(("config", "data"), list(_on_pictures()))
def test_config_on_real_pictures(config, data, tmp_path, monkeypatch):
    """The same YAML on 28x28 grey and 32x32 colour pictures: it trains, and its checkpoint samples."""
    side = {"mnist": 28, "cifar10": 32}[data]
    if config.parent.name == "autoregressive":
        side //= 2  # they draw pixel by pixel; a quarter of the pixels shows as much
    if "MLPDecoder" in config.read_text():
        side //= 4  # 256 levels of each pixel from fully connected layers are hundreds of millions of weights
    # A grid of 64 images and the bits/dim of 2,000 would take minutes for networks that go pixel by pixel.
    monkeypatch.setattr("lightning_gen.training.trainer.SampleGrids", partial(SampleGrids, count=2))
    monkeypatch.setattr("lightning_gen.training.callbacks.evaluate.Evaluate._measure", lambda *_: None)
    if not (SHARED / data).is_dir():
        pytest.skip(f"no {SHARED / data}: real pictures are not here")
    arguments = ["-c", str(config), *FEWER.get(_name(config), []), "-c", "tests/pictures.yaml"]
    arguments += ["--data.init_args.root", str(SHARED / data)]
    few = ["--run.images", "8", "--run.rate_images", "4", "--data.init_args.size", str(side)]
    fit([*arguments, "--run.root", str(tmp_path), "--run.name", "x", *few, *QUIET, *NO_DISTANCES])
    module = load_module(tmp_path / "x" / "checkpoints" / "last.ckpt")
    assert module.spec.shape == ({"mnist": 1, "cifar10": 3}[data], side, side)


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda overlay: overlay.stem)
def test_overlay_for_pictures(overlay):
    """Its first line names what it lies over; together they build, and the parts that it sizes have that size."""
    over = [word.rstrip(",") for word in overlay.read_text().partition("\n")[0].split() if word.startswith("configs/")]
    data = {"cifar10": ("cifar10", 32), "mnist": ("mnist", 28), "binary": ("mnist", 28)}
    folder, side = data.get(overlay.stem.rpartition("_")[2], ("utkface64", 64))
    model = overlay.stem.partition("_")[0] if folder == "utkface64" else overlay.stem.rpartition("_")[0]
    assert Path(over[0]).stem.startswith(model)
    assert Path(over[0]) in CONFIGS
    assert Path(over[1]).exists()
    if not (SHARED / folder).is_dir():
        pytest.skip(f"no {SHARED / folder}: real pictures are not here")
    pictures = ["-c", "tests/pictures.yaml", "-c", str(overlay), "--data.init_args.root", str(SHARED / folder)]
    if folder == "utkface64":
        pictures = ["-c", "configs/data/faces.yaml", *pictures[2:]]
    if "binary" in over[1]:
        pictures += ["--data.init_args.levels", "lightning_gen.data.levels.Bernoulli"]
    alone, sized = (build(["-c", over[0], *pictures[: 2 * n], *pictures[4:], *QUIET]) for n in (1, 2))
    assert sized.model.spec.shape[1:] == (side, side)
    weights = [sum(p.numel() for p in cli.model.parameters()) for cli in (alone, sized)]
    assert weights[0] < weights[1]
    assert sized.config.run.name == overlay.stem


@pytest.mark.parametrize("overlay", TRANSLATIONS, ids=lambda overlay: overlay.stem)
def test_overlay_for_translations(overlay):
    """The same for two domains or pairs of real pictures: the three build, and the networks have their size."""
    over = [word.rstrip(",") for word in overlay.read_text().partition("\n")[0].split() if word.startswith("configs/")]
    folder = {"facades": "facades", "horse2deer": "cifar10", "photos": "photos"}[overlay.stem.rpartition("_")[2]]
    family = "super_resolution" if folder == "photos" else "translation"
    assert over[0] == f"configs/{family}/{overlay.stem.rpartition('_')[0]}.yaml"
    if not (SHARED / folder).is_dir():
        pytest.skip(f"no {SHARED / folder}: real pictures are not here")
    root = ["--data.init_args.root", str(SHARED / folder)]
    alone, sized = (build(["-c", over[0], "-c", over[1], *more, *root, *QUIET]) for more in ([], ["-c", str(overlay)]))
    weights = [sum(p.numel() for p in cli.model.parameters()) for cli in (alone, sized)]
    assert weights[0] < weights[1]
    assert sized.config.run.name == overlay.stem


@pytest.mark.parametrize("overlay", SENTENCES, ids=lambda overlay: overlay.stem)
def test_overlay_for_sentences(overlay):
    """The same for pictures with captions: photos, or larger shapes."""
    over = [word.rstrip(",:") for word in overlay.read_text().partition("\n")[0].split() if word.startswith("configs/")]
    root, more = SHARED / "flickr64" / "train.zip", ["--data.init_args.images", "64"]
    if len(over) > 1:
        more = ["--data.init_args.root", str(root)]
        if not root.is_file():
            pytest.skip(f"no {root}: pictures with captions are not here")
    files = [word for path in (*over, overlay) for word in ("-c", str(path))]
    cli = build([*files, *more, *QUIET])
    side = 32 if overlay.stem.endswith("32") else 64
    assert cli.model.spec.shape == (3, side, side)
    assert cli.config.run.name == overlay.stem


def test_an_existing_run_is_refused_and_kept(tmp_path, capsys):
    arguments = ["fit", "-c", "configs/vae/vae.yaml", "--run.root", str(tmp_path), "--run.images", "64", *QUIET]
    assert main(arguments) == 0
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    capsys.readouterr()
    assert main(arguments) == 2
    assert "exists already, want a new name" in capsys.readouterr().err
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--run.images", "0"], "run.images is 0: want 1 or more"),
        (["--run.rate_images", "0"], "run.rate_images is 0: want 1 or more"),
        (["--run.save_every", "-1"], "run.save_every is -1: want a number of images, or 0"),
        (["--run.health_every", "-5"], "run.health_every is -5: want a number of images, or 0"),
        (["--run.evaluate_every", str(2**80)], "run.evaluate_every is"),
        (["--seed_everything", str(2**63)], "seed_everything is 9223372036854775808: want 0 to 4294967295"),
        (["--seed_everything", "-1"], "seed_everything is -1: want"),
        (["--evaluation.samples", str(2**31)], "evaluation.samples is 2147483648: want at most 10000000"),
        (
            [
                "-c",
                "configs/gan/dcgan.yaml",
                "--model.init_args.training.discriminator_optimizer",
                "{init_args: {class_path: torch.optim.Adam, init_args: {lr: 0.001}}}",
            ],
            "torch.optim.Adam', 'init_args': {'lr': 0.001}}}: want a class_path, of Optimizer",
        ),
        (["--run.name", "a/b"], "run.name is 'a/b': want the name of one folder"),
        (["--data.init_args.batch_size", "5000"], "batch_size is 5000: want 1 to 1297"),
    ],
)
def test_bad_input_ends_in_one_line_and_nothing_written(arguments, words, tmp_path, capsys):
    root = tmp_path / "runs"
    assert main(["fit", "-c", "configs/vae/vae.yaml", "--run.root", str(root), *QUIET, *arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(lines) == 1, lines
    assert words in lines[0]
    assert not root.exists()


def test_a_full_disk_is_refused_before_training(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=2**20))
    assert main(["fit", "-c", "configs/vae/vae.yaml", "--run.root", str(tmp_path / "runs"), *QUIET]) == 2
    assert "has 1 MB free: want" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_help_imports_nothing_heavy():
    """`--help` stays fast because it loads neither torch nor lightning (a property, not a stopwatch)."""
    code = "import sys; from lightning_gen.config.cli import main; main(['--help']); print(sorted(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"torch", "lightning", "numpy", "wandb"} & set(out.rpartition("[")[2].replace("'", "").split(", "))
    assert all(name in out for name in COMMANDS)


def test_unknown_command_is_one_line(capsys):
    assert main(["trian"]) == 2
    assert "unknown command trian: want one of fit" in capsys.readouterr().err
