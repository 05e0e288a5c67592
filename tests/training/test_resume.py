"""A run that was stopped goes on as if it had not been: bit for bit, and no row is lost or doubled."""

import pytest
import torch
from lightning.pytorch import Trainer

from lightning_gen.config.cli import main
from lightning_gen.reading import read_rows

#: evaluation, health and grids as they are by default, on fewer images
CPU = ["--trainer.accelerator", "cpu", "--evaluation.samples", "128", "--trainer.log_every_n_steps", "1"]
CPU += [
    "--run.rate_images",
    "64",
    "--run.health_every",
    "320",
    "--run.evaluate_every",
    "320",
    "--run.grid_every",
    "320",
]


def _fit(config, root, name, images, *more):
    run = ["--run.root", str(root), "--run.name", name, "--run.images", str(images)]
    return main(["fit", "-c", f"configs/{config}.yaml", *run, "--run.save_every", "64", *CPU, *more])


def _checkpoint(folder, name="last"):
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


def _rows(folder, but="nothing"):
    rows = read_rows(folder / "metrics.jsonl")
    return [
        {k: v for k, v in row.items() if k != "seconds" and not k.startswith("speed/")}
        for row in rows
        if not any(but in k for k in row)
    ]


FAMILIES = [
    "gan/cgan",
    "flow/realnvp",
    "vae/vqvae",
    *(
        pytest.param(name, marks=pytest.mark.exhaustive)
        for name in ("vae/vae", "gan/dcgan", "vae/ladder_vae", "autoregressive/pixelcnn", "music/midinet")
    ),
]


CONDITIONER = "--model.init_args.bijection.init_args.conditioner.init_args"
#: networks that would take most of the time
SMALL = {"flow/realnvp": [f"{CONDITIONER}.width", "8", f"{CONDITIONER}.blocks", "1"]}


@pytest.mark.parametrize("config", FAMILIES)
def test_stopped_and_resumed_is_never_stopped_bit_for_bit(config, tmp_path, monkeypatch):
    # Each run learns its own features: the global generator is not what they begin with.
    monkeypatch.setenv("LIGHTNING_GEN_CACHE", str(tmp_path / "cache"))
    small = SMALL.get(config, [])
    assert _fit(config, tmp_path, "whole", 1536, *small) == 0  # past the end of the first epoch
    assert _fit(config, tmp_path, "parts", 640, *small) == 0
    assert _fit(config, tmp_path, "parts", 1536, "--run.resume", "changed", *small) == 0
    whole, parts = (_checkpoint(tmp_path / name) for name in ("whole", "parts"))
    assert whole["images_seen"] == parts["images_seen"] == 1536
    for room in ("state_dict", "ema"):
        assert all(torch.equal(whole[room][key], parts[room][key]) for key in whole[room])
    assert str(whole["optimizer_states"]) == str(parts["optimizer_states"])
    assert _rows(tmp_path / "whole") == _rows(tmp_path / "parts")


@pytest.mark.parametrize("stops", [(5, 6), pytest.param((5, 10), marks=pytest.mark.exhaustive)])
def test_a_stop_at_the_last_batch_of_an_epoch_is_not_forgotten_by_the_next(stops, tmp_path):
    large = ["--data.init_args.batch_size", "256", "--run.resume", "changed", "--run.save_every", "256"]
    assert _fit("vae/vae", tmp_path, "whole", 256 * 11, *large) == 0  # 5 batches in an epoch
    for batches in (*stops, 11):
        assert _fit("vae/vae", tmp_path, "parts", 256 * batches, *large) == 0
    whole, parts = (_checkpoint(tmp_path / name) for name in ("whole", "parts"))
    assert whole["loops"]["fit_loop"] == parts["loops"]["fit_loop"]
    assert all(torch.equal(whole["state_dict"][key], parts["state_dict"][key]) for key in whole["state_dict"])
    # the parts are evaluated at their ends as well
    assert _rows(tmp_path / "whole", but="eval/") == _rows(tmp_path / "parts", but="eval/")


def test_a_damaged_checkpoint_is_told_and_the_one_before_serves(tmp_path, capsys):
    assert _fit("vae/vae", tmp_path, "whole", 512) == 0
    assert _fit("vae/vae", tmp_path, "r", 256) == 0
    last = tmp_path / "r" / "checkpoints" / "last.ckpt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1  # one flipped bit
    last.write_bytes(content)
    capsys.readouterr()
    assert _fit("vae/vae", tmp_path, "r", 512, "--run.resume", "changed") == 0
    assert "last.ckpt is damaged, going on from the one before" in capsys.readouterr().err
    a, b = (_checkpoint(tmp_path / name)["state_dict"] for name in ("whole", "r"))
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_another_configuration_is_refused_unless_asked_for(tmp_path, capsys):
    assert _fit("vae/vae", tmp_path, "r", 64) == 0
    before = (tmp_path / "r" / "metrics.jsonl").read_bytes()
    capsys.readouterr()
    assert _fit("vae/vae", tmp_path, "r", 128, "--run.resume", "same") == 2
    line = capsys.readouterr().err
    assert "run.images is 128, but 64 in" in line
    assert line.count("\n") == 1
    assert (tmp_path / "r" / "metrics.jsonl").read_bytes() == before


def test_a_checkpoint_of_another_shape_is_one_plain_line(tmp_path, capsys):
    assert _fit("vae/vae", tmp_path, "r", 64) == 0
    capsys.readouterr()
    more = ["--run.resume", "changed", "--model.init_args.latent_dim", "5"]
    assert _fit("vae/vae", tmp_path, "r", 128, *more) == 2
    line = capsys.readouterr().err
    assert "is of another shape" in line
    assert line.count("\n") == 1


def test_what_evaluate_has_appended_is_kept(tmp_path):
    assert _fit("vae/vae", tmp_path, "r", 128) == 0
    assert main(["evaluate", str(tmp_path / "r"), "--samples", "64"]) == 0
    assert _fit("vae/vae", tmp_path, "r", 192, "--run.resume", "changed") == 0
    found = [(row["images_seen"], row["split"]) for row in read_rows(tmp_path / "r" / "evaluations.jsonl")]
    assert found == [(128, "val"), (128, "test"), (192, "val")]


def test_going_on_with_a_run_that_is_not_there_starts_it(tmp_path):
    assert _fit("vae/vae", tmp_path, "r", 64, "--run.resume", "same") == 0
    assert _checkpoint(tmp_path / "r")["images_seen"] == 64


def test_a_finished_run_is_left_as_it_is(tmp_path, capsys):
    assert _fit("vae/vae", tmp_path, "r", 64) == 0
    before = {p: p.read_bytes() for p in (tmp_path / "r").rglob("*") if p.is_file() and p.suffix != ".yaml"}
    capsys.readouterr()
    assert _fit("vae/vae", tmp_path, "r", 64, "--run.resume", "same") == 0
    assert "64 images seen, nothing left to do" in capsys.readouterr().out
    assert {p: p.read_bytes() for p in before} == before


@pytest.mark.parametrize(
    ("config", "names"), [("vae/vae", {"train/bits_per_dim"}), ("gan/dcgan", {"train/loss_d", "train/loss_g"})]
)
def test_the_row_of_the_last_batch_is_there_before_its_checkpoint_even_where_none_was_due(
    config, names, tmp_path, monkeypatch
):
    there, save = [], Trainer.save_checkpoint

    def look_and_save(self, path):
        there.append(_rows(tmp_path / "short"))
        save(self, path)

    monkeypatch.setattr(Trainer, "save_checkpoint", look_and_save)
    assert _fit(config, tmp_path, "short", 320, "--run.save_every", "0", "--trainer.log_every_n_steps", "1000") == 0
    rows = [row for row in _rows(tmp_path / "short") if names <= set(row)]
    assert [row["images_seen"] for row in rows] == [320]
    assert [[row for row in found if names <= set(row)] for found in there] == [rows]
