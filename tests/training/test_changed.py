"""What ``--run.resume changed`` accepts has its effect; what would have none is refused, and nothing is rewritten."""

import pytest
import torch

from lightning_gen.config.cli import main
from lightning_gen.training.interval import ImageInterval
from lightning_gen.training.optimizers import apply_changes, options_of

SMALL = ["--evaluation.samples", "0", "--run.rate_images", "64", "--trainer.accelerator", "cpu"]
ADAM = "--model.init_args.optimizer"


def fit(root, images, *more, config="vae/vae"):
    run = ["--run.root", str(root), "--run.name", "x", "--run.images", str(images), *SMALL]
    return main(["fit", "-c", f"configs/{config}.yaml", *run, *more])


def groups(root):
    checkpoint = torch.load(root / "x" / "checkpoints" / "last.ckpt", weights_only=True)
    return [group for state in checkpoint["optimizer_states"] for group in state["param_groups"]]


def test_another_learning_rate_and_betas_take_effect(tmp_path):
    assert fit(tmp_path, 64) == 0
    assert {group["lr"] for group in groups(tmp_path)} == {1e-3}
    words = ["--run.resume", "changed", f"{ADAM}.init_args.lr", "5e-4", f"{ADAM}.init_args.betas", "[0.5, 0.9]"]
    assert fit(tmp_path, 128, *words) == 0
    assert {(group["lr"], tuple(group["betas"])) for group in groups(tmp_path)} == {(5e-4, (0.5, 0.9))}


def test_the_players_of_a_gan_take_theirs(tmp_path):
    assert fit(tmp_path, 64, config="gan/dcgan") == 0
    before = [group["lr"] for group in groups(tmp_path)]
    words = ["--run.resume", "changed", "--model.init_args.training.generator_optimizer.init_args.lr", "7e-5"]
    assert fit(tmp_path, 128, *words, config="gan/dcgan") == 0
    assert [group["lr"] for group in groups(tmp_path)] == [7e-5, before[1]]


def test_a_schedule_multiplies_the_new_rate():
    parameter = torch.nn.Parameter(torch.zeros(1))
    old, new = (torch.optim.Adam([parameter], lr) for lr in (1e-3, 1e-4))
    before, now = options_of([old]), options_of([new])
    old.param_groups[0] |= {"initial_lr": 1e-3, "lr": 5e-4, "eps": 1e-5}  # half-way down, and changed by the training
    apply_changes([old], before, now)
    assert old.param_groups[0]["initial_lr"] == 1e-4
    assert old.param_groups[0]["eps"] == 1e-5, "what the configuration has not changed stays"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([ADAM, "torch.optim.SGD"], "optimizer 1 is SGD, but Adam in the checkpoint"),
        (["--seed_everything", "5"], "seed_everything is 5, but 0 in"),
        (["--run.start_from", "elsewhere"], "run.start_from is elsewhere, but None in"),
    ],
)
def test_what_cannot_have_an_effect_is_refused(words, line, tmp_path, capsys):
    assert fit(tmp_path, 64) == 0
    before = {p: p.read_bytes() for p in (tmp_path / "x").rglob("*") if p.is_file()}
    capsys.readouterr()
    more = [f"{ADAM}.init_args.lr", "0.01"] if ADAM in words else []
    assert fit(tmp_path, 128, "--run.resume", "changed", *words, *more) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1
    assert {p: p.read_bytes() for p in before} == before


def test_another_patience_takes_effect(tmp_path):
    stop = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=eval/bits_per_dim"]
    stop += ["--trainer.callbacks.min_delta=100", "--run.evaluate_every", "64"]
    assert fit(tmp_path, 128, *stop, "--trainer.callbacks.patience=50") == 0
    assert fit(tmp_path, 1280, *stop, "--trainer.callbacks.patience=3", "--run.resume", "changed") == 0
    checkpoint = torch.load(tmp_path / "x" / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["images_seen"] == 256  # the third evaluation that is no better


def test_the_best_is_that_of_one_measure(tmp_path):
    words = ["--run.evaluate_every", "64", "--evaluation.split"]
    assert fit(tmp_path, 128, *words, "val") == 0
    # bits/dim on the training images begins anew, whether it is lower than that on the validation images or not
    assert fit(tmp_path, 192, *words, "train", "--run.resume", "changed") == 0
    best = torch.load(tmp_path / "x" / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["images_seen"] == 192


def test_an_interval_of_another_length_begins_at_once():
    old = ImageInterval(1000)
    assert not old.due(250)
    for every, wanted in ((100, [300, 400]), (1000, [1000]), (0, [])):
        new = ImageInterval(every)
        new.load_state_dict(old.state_dict())
        assert [seen for seen in range(260, 1001, 20) if new.due(seen)][: len(wanted)] == wanted
