"""The contract of every YAML: it builds, trains, reloads from its checkpoint alone and samples bit-equal."""

from pathlib import Path

import pytest
import torch

from lightning_gen.cli import main
from lightning_gen.evaluation import sample_blocks
from lightning_gen.fit import build
from lightning_gen.fit import main as fit
from lightning_gen.loading import load_module

CONFIGS = sorted(p for p in Path("configs").rglob("*.yaml") if p.parent.name != "data")


@pytest.mark.parametrize("config", CONFIGS, ids=lambda p: p.stem)
def test_config_keeps_its_promises(config, tmp_path):
    quiet = ["--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"]
    arguments = ["-c", str(config), "--run.root", str(tmp_path), "--run.images", "128", *quiet]
    fit(arguments)
    folder = tmp_path / config.stem
    checkpoint = folder / "checkpoints" / "last.ckpt"
    a, b = load_module(checkpoint), load_module(checkpoint)
    assert a.images_seen == 128
    first, second = (torch.cat(list(sample_blocks(m, 70, seed=1))) for m in (a, b))
    assert first.dtype == torch.uint8
    assert first.shape == (70, *a.spec.shape)
    assert int(first.max()) < a.spec.levels
    assert torch.equal(first, second)
    assert {p.name for p in folder.iterdir()} == {
        "config.yaml",
        "run.json",
        "metrics.jsonl",
        "samples",
        "checkpoints",
    } - (set() if (folder / "metrics.jsonl").exists() else {"metrics.jsonl"})
    # A second run of the same name is refused, and the first is untouched.
    before = (folder / "run.json").read_bytes()
    assert main(["fit", *arguments]) == 2
    assert (folder / "run.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model.init_args.latent_dimm", "3"], "latent_dimm"),
        (["--model.init_args.latent_dim", "many"], "many"),
        (["--run.images", "0"], "run.images"),
        (["--data.init_args.batch_size", "5000"], "batch_size"),
        (["-c", "no/such.yaml"], "no/such.yaml"),
    ],
)
def test_bad_input_is_one_plain_line(arguments, words, tmp_path, capsys):
    status = main(["fit", "-c", "configs/vae/vae.yaml", "--run.root", str(tmp_path), *arguments])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("lightning-gen:")]
    assert status == 2
    assert len(lines) == 1
    assert words in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_every_parameter_gets_a_gradient():
    for config in CONFIGS:
        cli = build(["-c", str(config), "--trainer.accelerator", "cpu"])
        cli.model.trainer = cli.trainer
        batch = next(iter(cli.datamodule.batches("train", 16)))
        if config.parent.name == "gan":
            (cli.model.generator_loss(batch) + cli.model.discriminator_loss(batch)).backward()
        else:
            for p in cli.model.parameters():  # heads that start at zero hide their conditioner
                torch.nn.init.normal_(p, 0.0, 0.05)
            cli.model.objective(batch["image"]).mean().backward()
        missing = [name for name, p in cli.model.named_parameters() if p.grad is None]
        assert not missing, f"{config}: no gradient at {missing}"
