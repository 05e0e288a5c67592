"""CycleGAN, CUT and FastCUT: their losses written out, order, pool, processes, resume, what does not fit."""

import subprocess
import sys

import pytest
import torch
from torch.nn.functional import mse_loss, normalize

from lightning_gen.config.cli import main
from lightning_gen.config.loading import load_module
from lightning_gen.images import to_signed
from lightning_gen.losses.contrastive import patch_nce
from lightning_gen.training.fit import build

MODELS = ("cyclegan", "cut", "fastcut")
CPU = ["--trainer.accelerator", "cpu", "--evaluation.samples", "0", "--trainer.log_every_n_steps", "1"]
SMALL = [*CPU, "--model.init_args.generator.init_args.width", "4", "--data.init_args.size", "16"]
OWN = ["--model.init_args.training.networks", "{generator.up: {class_path: torch.optim.SGD, init_args: {lr: 0.0}}}"]
SMALL += ["--data.init_args.images", "20", "--run.evaluate_every", "0", "--run.grid_every", "0"]


def _built(config, *more):
    cli = build(["-c", f"configs/translation/{config}.yaml", *SMALL, *more])
    cli.model.trainer = cli.trainer
    batch = next(iter(cli.datamodule.train_dataloader()))
    return cli.model, batch, to_signed(batch["source"], 256), to_signed(batch["image"], 256)


def _words(config, root, name, images, *more):
    run = ["--run.root", str(root), "--run.name", name, "--run.images", str(images), "--run.save_every", "8"]
    return ["fit", "-c", f"configs/translation/{config}.yaml", *run, *SMALL, *more]


def _checkpoint(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def _values(losses):
    return {name: float((value() if callable(value) else value).detach()) for name, value in losses.items()}


def test_the_losses_of_a_cycle_are_those_of_the_paper():
    model, batch, a, b = _built("cyclegan")
    there, back = model.generator["there"], model.generator["back"]
    judge = {side: lambda x, side=side: model.discriminator[side](x).logits for side in ("there", "back")}
    fake_b, fake_a = there(a), back(b)
    expected = {
        "adversarial": 0.5 * ((judge["there"](fake_b) - 1) ** 2).mean()
        + 0.5 * ((judge["back"](fake_a) - 1) ** 2).mean(),
        "cycle": (back(fake_b) - a).abs().mean() + (there(fake_a) - b).abs().mean(),
        "identity": (there(b) - b).abs().mean() + (back(a) - a).abs().mean(),
    }
    assert _values(model.generator_losses(batch)) == pytest.approx(_values(expected), rel=1e-5)
    assert dict(model.generator_weights) == {"adversarial": 2.0, "cycle": 10.0, "identity": 5.0}
    losses = _values(model.discriminator_losses(batch))  # the pool is empty: fakes are as they come
    for side, real, fake in (("there", b, fake_b), ("back", a, fake_a)):
        of_real, of_fake = judge[side](real), judge[side](fake)
        game = 0.5 * ((of_real - 1) ** 2).mean() + 0.5 * (of_fake**2).mean()
        assert losses[side] == pytest.approx(float(game.detach()), rel=1e-5)
    assert model.latest_logits.keys() == {"real_there", "fake_there", "real_back", "fake_back"}


def test_generators_move_first_and_discriminators_judge_what_was_made_before(tmp_path, monkeypatch):
    model, batch, a, _ = _built("cyclegan")
    before, seen = model.generator["there"](a).detach(), []
    monkeypatch.setattr(
        model.pools["there"], "forward", lambda fake: seen.append(fake.detach().clone()) or fake.detach()
    )
    model.configure_optimizers()
    made = model.make_fakes(batch)
    model._shared_fakes = made
    with torch.no_grad():  # as a step of the generators would
        next(model.generator["there"].parameters()).add_(1.0)
    model.discriminator_losses(batch)
    assert torch.equal(seen[0], before)
    assert model.order == ("generator", "discriminator")
    assert model.training_plan.share_fakes


def test_a_network_may_have_an_optimizer_of_its_own_in_yaml(tmp_path):
    config = tmp_path / "own.yaml"
    own = "{generator.back: {class_path: torch.optim.SGD, init_args: {lr: 0.0}}}"
    config.write_text(f"model: {{init_args: {{training: {{networks: {own}}}}}}}\n")
    assert main(_words("cyclegan", tmp_path, "r", 4, "-c", str(config), "--run.ema", "0")) == 0
    made = _checkpoint(tmp_path / "r")
    assert [state["param_groups"][0]["lr"] for state in made["optimizer_states"]] == [0.001, 0.0, 0.0005]
    fresh = build(["-c", str(tmp_path / "r" / "config.yaml")]).model.generator  # as it was before training
    moved = {
        key: not torch.equal(value, made["state_dict"][f"generator.{key}"]) for key, value in fresh.state_dict().items()
    }
    assert any(moved[key] for key in moved if key.startswith("there."))
    assert not any(moved[key] for key in moved if key.startswith("back."))
    assert load_module(tmp_path / "r" / "checkpoints" / "last.ckpt").training_plan.networks.keys() == {"generator.back"}


@pytest.mark.parametrize("config", ["cut", "fastcut"])
def test_the_contrast_is_that_of_the_paper(config, monkeypatch):
    model, batch, a, b = _built(config)
    translator, head = model.generator["translator"], model.generator["head"]
    coin = torch.tensor([0.1, 0.9, 0.2, 0.8])
    rand = torch.rand
    monkeypatch.setattr(torch, "rand", lambda *shape, **more: coin if shape == (4,) else rand(*shape, **more))
    mirrored = coin < 0.5

    def contrast(x, made, flipped=None):
        total = []
        for net, known, new in zip(head.nets, translator.features(x), translator.features(made), strict=True):
            if flipped is not None:
                new = torch.stack([f.flip(2) if m else f for f, m in zip(new, flipped, strict=True)])
            query, key = (normalize(net(f.flatten(2).transpose(1, 2)), dim=2) for f in (new, known))
            total.append(patch_nce(query, key))
        return torch.stack(total).mean()

    losses = _values(model.generator_losses(batch))
    if config == "cut":
        fake = translator(a)
        expected = 0.5 * contrast(a, fake) + 0.5 * contrast(b, translator(b))
    else:
        fake = translator(torch.stack([x.flip(2) if m else x for x, m in zip(a, mirrored, strict=True)]))
        expected = contrast(a, fake, mirrored)
    assert losses["nce"] == pytest.approx(float(expected.detach()), rel=1e-4)
    logits = model.discriminator(fake).logits
    assert losses["adversarial"] == pytest.approx(
        0.5 * float(mse_loss(logits, torch.ones_like(logits)).detach()), rel=1e-4
    )
    assert model.generator_weights["nce"] == {"cut": 1.0, "fastcut": 10.0}[config]


def test_a_resumed_cycle_goes_on_bit_for_bit_with_its_pool(tmp_path):
    pool = ["--model.init_args.pool", "6"]
    for name, images, more in (("whole", 44, []), ("parts", 16, []), ("parts", 44, ["--run.resume", "changed"])):
        assert main(_words("cyclegan", tmp_path, name, images, *pool, *more)) == 0
    whole, parts = (_checkpoint(tmp_path / name) for name in ("whole", "parts"))
    for room in ("state_dict", "ema"):
        assert all(torch.equal(whole[room][key], parts[room][key]) for key in whole[room])
    kept = whole["ranks"][0]["module"]
    assert int(kept["there"]["count"]) == 6
    assert kept["there"]["pictures"].abs().sum() > 0
    assert str(kept) == str(parts["ranks"][0]["module"])
    assert str(whole["optimizer_states"]) == str(parts["optimizer_states"])
    module = load_module(tmp_path / "whole" / "checkpoints" / "last.ckpt")
    batch = {
        "source": torch.zeros(2, 3, 16, 16, dtype=torch.uint8),
        "image": torch.zeros(2, 3, 16, 16, dtype=torch.uint8),
    }
    assert module.translate_back(batch).shape == (2, 3, 16, 16)


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """The folder in which one process and two have trained."""
    folder = tmp_path_factory.mktemp("processes")
    command = [sys.executable, "-m", "tests.models.translation_processes", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_two_processes_have_pools_of_their_own_and_resume_bit_for_bit(processes):
    whole, parts = (_checkpoint(processes / "two.runs" / name) for name in ("whole", "parts"))
    pools = [own["module"]["there"]["pictures"] for own in whole["ranks"]]
    assert not torch.equal(*pools)
    for i, pictures in enumerate(pools):
        assert torch.equal(pictures, parts["ranks"][i]["module"]["there"]["pictures"])
    assert all(torch.equal(whole["state_dict"][key], parts["state_dict"][key]) for key in whole["state_dict"])


def test_two_processes_are_one_with_the_doubled_batch(processes):
    one, first, second = (torch.load(processes / name) for name in ("one.0", "two.0", "two.1"))
    for config, weights in one.items():
        start = dict(build(["-c", f"configs/translation/{config}.yaml", *SMALL]).model.named_parameters())
        moved = max(float((value - start[key]).detach().abs().max()) for key, value in weights.items())
        assert moved > 1e-4, config
        for key, value in weights.items():
            assert torch.equal(first[config][key], second[config][key]), f"{config} {key}"
            # The gradient of |x| jumps at 0: rounding moves it further than that of other losses.
            assert torch.allclose(value, first[config][key], atol=1e-2 * moved, rtol=1e-4), f"{config} {key}"


@pytest.mark.parametrize(
    ("config", "arguments", "words"),
    [
        ("cyclegan", ["--model.init_args.pool", "0"], "pool.size is 0: want 1 or more"),
        ("cut", ["--model.init_args.patches", "0"], "model.patches is 0: want 1 or more"),
        ("cut", ["--model.init_args.temperature", "0"], "model.temperature is 0.0: want above 0"),
        (
            "cyclegan",
            OWN,
            "training.networks has generator.up: want one of generator.there, generator.back, discriminator",
        ),
        ("cyclegan", ["grey"], "sources of 1 channels and images of 3: CycleGAN wants training.weights.identity 0"),
        ("fastcut", ["grey"], "sources of 1 channels and images of 3: FastCUT encodes both alike"),
        ("cyclegan", ["-c", "configs/data/digits.yaml"], "data has no source images"),
    ],
)
def test_what_does_not_fit_is_one_line_and_nothing_is_written(config, arguments, words, tmp_path, capsys):
    arguments = ["-c", _maps(tmp_path)] if arguments == ["grey"] else arguments
    fit = ["fit", "-c", f"configs/translation/{config}.yaml", "--run.root", str(tmp_path / "runs"), *CPU]
    assert main([*fit, *arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(lines) == 1, lines
    assert words in lines[0]
    assert not (tmp_path / "runs").exists()


def _maps(folder):
    """A YAML of label maps and pictures, 1 and 3 channels."""
    path = folder / "maps.yaml"
    inside = "{class_path: lightning_gen.data.shape_maps.ShapeMaps, init_args: {size: 16, images: 16, batch_size: 4}}"
    path.write_text(f"data: {inside}\n")
    return str(path)


def test_domains_of_other_channels_have_a_cycle_without_the_identity(tmp_path):
    weights = ["--model.init_args.training.weights", "{identity: 0}", "--model.init_args.generator.init_args.output"]
    weights += ["lightning_gen.nets.gan.translator.PaintedOutput"]
    words = ["fit", "-c", "configs/translation/cyclegan.yaml", "-c", _maps(tmp_path), "--run.root", str(tmp_path)]
    assert main([*words, "--run.images", "8", *CPU, *weights]) == 0
    rows = (tmp_path / "cyclegan" / "metrics.jsonl").read_text()
    assert "train/g/cycle" in rows
    assert "train/g/identity" not in rows
