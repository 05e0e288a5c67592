"""Sweeps run to their end: the same seeds, killed workers, early stopping, failures, pictures and the best config."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from lightning_gen.config.cli import main
from lightning_gen.launch.study import Study
from lightning_gen.launch.sweep_file import read_sweep
from tests.launch.processes import trainings_under_way

TRAINER = str(Path(__file__).parent / "trainer.py")
LR = {"distribution": "log_uniform_values", "min": 1e-4, "max": 1.0}


def _write(folder, pause=0.0, parameters=None, **changes):
    path = folder / "s.yaml"
    parameters = parameters or {"lr": LR, "width": {"values": [0, 1, 2]}}
    sweep = {"method": "random", "run_cap": 4, "program": TRAINER, "metric": {"name": "loss"}, **changes}
    path.write_text(yaml.safe_dump({**sweep, "parameters": {**parameters, "pause": {"value": pause}}}))
    return path


def _results(folder):
    rows = json.loads((folder / "s" / "results.json").read_text())["trials"]
    return {row["trial"]: row for row in rows}


@pytest.mark.parametrize("method", [pytest.param("random", marks=pytest.mark.exhaustive), "bayes"])
def test_the_same_seed_gives_the_same_trials(tmp_path, method):
    path = _write(tmp_path, method=method)
    found = []
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        assert main(["sweep", str(path), "--any-program", "--root", str(tmp_path / name), "--seed", seed]) == 0
        found.append({i: (row["parameters"], row["value"]) for i, row in _results(tmp_path / name).items()})
    assert found[0] == found[1] != found[2]
    folder = tmp_path / "a" / "s"
    best = yaml.safe_load((folder / "best.yaml").read_text())
    least = min(found[0].values(), key=lambda row: row[1])
    assert float(best["model"]["lr"]) == least[0]["lr"]
    assert best["run"]["name"] == "s-best"
    assert (folder / "parallel.png").stat().st_size > 5000
    assert (folder / "importance.png").stat().st_size > 3000


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for a worker in /proc")
def test_a_worker_killed_outright_loses_no_trial(tmp_path):
    path = _write(tmp_path, pause=0.5, run_cap=8)
    words = ["sweep", str(path), "--any-program", "--workers", "2", "--root", str(tmp_path), "--heartbeat", "1"]
    launcher = subprocess.Popen([sys.executable, "-m", "lightning_gen", *words])
    while not (trainings := trainings_under_way(tmp_path / "s")):
        assert launcher.poll() is None
        time.sleep(0.05)
    training, victim = trainings[0]
    os.kill(victim, signal.SIGKILL)
    assert launcher.wait() == 0
    assert not Path(f"/proc/{training}").exists()
    rows = _results(tmp_path)
    assert sorted(rows) == list(range(8))
    assert {row["state"] for row in rows.values()} == {"complete"}
    assert max(row["tries"] for row in rows.values()) >= 2


def test_a_worker_that_died_before_its_first_sign_of_life_loses_no_trial(tmp_path):
    sweep = read_sweep(_write(tmp_path, run_cap=2))
    study = Study(sweep, f"sqlite:///{tmp_path}/s.db", seed=0, heartbeat=1)
    study.lay_out()
    dead = study.study.ask()
    taken = []
    for trial in study.claim(poll=0.1):
        taken.append(trial.user_attrs["index"])
        study.study.tell(trial, 1.0)
    assert dead.user_attrs["index"] == 0
    assert taken == [1, 0]


def test_two_workers_never_take_the_same_trial(tmp_path):
    sweep, url, rounds = read_sweep(_write(tmp_path, run_cap=60)), f"sqlite:///{tmp_path}/s.db", 30
    studies = [Study(sweep, url, seed=0) for _ in range(2)]
    studies[0].lay_out()
    together = threading.Barrier(2)

    def take(study):
        numbers = []
        for _ in range(rounds):
            together.wait(60)
            numbers.append(study.study.ask().number)
        return numbers

    with ThreadPoolExecutor(2) as pool:
        taken = [number for numbers in pool.map(take, studies) for number in numbers]
    assert sorted(taken) == list(range(2 * rounds))


@pytest.mark.parametrize("stop", ["hyperband", pytest.param("median", marks=pytest.mark.exhaustive)])
def test_what_is_worse_is_stopped_early(tmp_path, stop):
    path = _write(
        tmp_path,
        pause=0.3,
        method="grid",
        run_cap=None,
        parameters={"width": {"values": [1, 1.1, 1.2, 90, 91]}},
        early_terminate={"type": "hyperband", "min_iter": 1, "eta": 3},
    )
    path.write_text(path.read_text().replace("run_cap: null\n", ""))
    assert (
        main(
            [
                "sweep",
                str(path),
                "--any-program",
                "--root",
                str(tmp_path),
                *(["--stop", "median"] if stop == "median" else []),
            ]
        )
        == 0
    )
    rows = _results(tmp_path)
    assert [rows[i]["state"] for i in (0, 4)] == ["complete", "pruned"]


def test_failures_and_another_sweep_are_one_plain_line(tmp_path, capsys):
    path = _write(tmp_path, parameters={"fail": {"values": [1, 2]}}, method="random", run_cap=2)
    assert main(["sweep", str(path), "--any-program", "--root", str(tmp_path)]) == 2
    assert "2 of 2 trials failed, the first of them 0: status 1: lightning-gen: the model is wrong" in _line(capsys)
    assert main(["sweep", str(path), "--any-program", "--root", str(tmp_path), "--seed", "9"]) == 2
    assert "seed is 9, but 0 in the storage: want the same" in _line(capsys)
    assert main(["sweep", str(path), "--any-program", "--root", str(tmp_path), "--trials", "3"]) == 2
    assert "sweep s has changed since" in _line(capsys)
    assert main(["sweep", str(path), "--any-program", "--root", str(tmp_path), "--storage", "mystery://x"]) == 2
    assert "storage is mystery://x" in _line(capsys)
    assert main(["sweep", str(tmp_path / "no.yaml")]) == 2
    assert "no.yaml does not exist: want a file" in _line(capsys)


def _line(capsys):
    text = capsys.readouterr().err.strip()
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("PROOF.sh", ["sh", "${program}", "${args}"]),
        ("PROOF", ["touch", "${program}", "${args}"]),
        ("http.server", ["${interpreter}", "-m", "${program}", "${args}"]),
        ("lightning_gen.launch.trial", ["${env}", "A=1", "${interpreter}", "-m", "${program}", "${args}"]),
        ("lightning_gen.launch.trial", ["${interpreter}", "-c", "open('PROOF', 'w')", "-m", "${program}", "${args}"]),
        ("lightning_gen.tasks.sample", ["${interpreter}", "-m", "${program}", "${args}"]),
    ],
)
def test_a_sweep_from_elsewhere_runs_fit_and_nothing_else(program, command, tmp_path, capsys):
    path = _write(tmp_path, program=program, command=command)
    assert main(["sweep", str(path), "--root", str(tmp_path / "runs")]) == 2
    assert "which is not fit: want --any-program" in capsys.readouterr().err
    assert sorted(file.name for file in tmp_path.iterdir()) == [path.name]


def test_a_trial_of_a_sweep_imports_only_what_is_trusted(tmp_path, capsys):
    proof = tmp_path / "PROOF"
    (tmp_path / "planted.py").write_text(f"open({str(proof)!r}, 'w').close()\nclass Net: pass\n")
    command = ["${env}", "${interpreter}", "-m", "${program}", "-c", "configs/vae/vae.yaml", "${args}"]
    decoder = {"model.init_args.decoder": {"value": "planted.Net"}}
    changes = {"program": "lightning_gen.launch.trial", "command": command, "parameters": decoder, "method": "grid"}
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump({"metric": {"name": "eval/bits_per_dim"}, **changes}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{tmp_path}:{Path.cwd()}")
        assert main(["sweep", str(path), "--root", str(tmp_path / "runs"), "--heartbeat", "1"]) == 2
    assert "planted" in capsys.readouterr().err
    assert not proof.exists()
