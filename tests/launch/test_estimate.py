"""What more devices take follows from what a run measured; every number says where it comes from."""

import pytest

from lightning_gen.config.cli import main
from lightning_gen.launch.estimate import Measured, estimate, measure

ONE = Measured(rate=100.0, processes=2, batch=16, weights=4000, optimizers=8000, average=4000)


def test_devices_divide_time_and_shares_but_not_the_cost():
    one, eight = (estimate(ONE, devices, 360_000, price=3.0) for devices in (1, 8))
    assert (one.seconds, one.cost, one.sent) == (3600.0, 3.0, 0)
    assert (eight.seconds, eight.cost) == (450.0, 3.0)
    assert (one.batch, eight.batch, eight.steps) == (16, 128, 2813)
    assert one.whole == one.shared == eight.whole == 2 * 4000 + 8000 + 4000
    assert eight.shared == 16000 // 8 + 4000
    assert eight.sent == 2 * 7 * 4000 // 8
    assert estimate(ONE, 8, 360_000, efficiency=0.5, price=3.0).cost == 6.0


def test_a_run_is_measured_and_what_it_does_not_say_is_said(tmp_path, capsys):
    place = ["--run.root", str(tmp_path), "--run.name", "r", "--run.images", "320", "--trainer.log_every_n_steps", "1"]
    few = ["--evaluation.samples", "0", "--trainer.accelerator", "cpu", "--data.init_args.batch_size", "32"]
    assert main(["fit", "-c", "configs/vae/vae.yaml", *place, *few]) == 0
    found = measure(tmp_path / "r")
    assert (found.processes, found.batch) == (1, 32)
    assert found.rate > 0
    assert found.average == found.weights
    assert 2 * found.weights <= found.optimizers < 2.1 * found.weights  # Adam
    capsys.readouterr()
    assert main(["estimate", str(tmp_path / "r"), "--images", "1000000", "--price", "2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("measured: ")
    assert "extrapolated: hours and cost" in out
    assert "Activations are not among the bytes" in out
    assert main(["estimate", str(tmp_path / "r"), "--images", "1", "--efficiency", "1.5"]) == 2
    assert "--efficiency 1.5 given: want at most 1" in capsys.readouterr().err
    (tmp_path / "r" / "metrics.jsonl").write_text("")
    assert main(["estimate", str(tmp_path / "r"), "--images", "1"]) == 2
    assert "has 0 rows of metrics: want two or more" in capsys.readouterr().err


@pytest.mark.parametrize("devices", [1, 3, 512])
def test_shares_are_never_more_than_whole_copies(devices):
    row = estimate(ONE, devices, 1000)
    assert row.shared <= row.whole
    assert row.sent < 2 * ONE.weights
