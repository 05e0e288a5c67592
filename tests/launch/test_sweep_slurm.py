"""A sweep whose workers are Slurm jobs on two nodes, one of them killed: every trial ends."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.launch.conftest import Slurm
from tests.launch.processes import trainings_under_way

pytest.importorskip("submitit")


def test_a_worker_killed_on_one_of_two_nodes_loses_no_trial(tmp_path: Path, slurm: Slurm):
    path = tmp_path / "s.yaml"
    lr = {"distribution": "log_uniform_values", "min": 1e-4, "max": 1.0}
    sweep = {"method": "random", "run_cap": 8, "program": str(Path(__file__).parent / "trainer.py")}
    path.write_text(
        yaml.safe_dump({**sweep, "metric": {"name": "loss"}, "parameters": {"lr": lr, "pause": {"value": 1}}})
    )
    words = [
        "sweep",
        str(path),
        "--any-program",
        "--workers",
        "2",
        "--slurm",
        "--root",
        str(tmp_path),
        "--heartbeat",
        "1",
        "--time",
        "10",
    ]
    environment = {**slurm.environment, "SBATCH_EXCLUSIVE": "exclusive"}  # a node for each
    launcher = subprocess.Popen([sys.executable, "-m", "lightning_gen", *words], env=environment)
    while len(trainings_under_way(tmp_path / "s")) < 2:  # each worker has one to lose
        assert launcher.poll() is None
        time.sleep(0.1)
    running = slurm.run("squeue", "-h", "-t", "R", "-o", "%A %N").split("\n")[:2]
    assert {line.split()[1] for line in running} == {"n1", "n2"}
    slurm.run("scancel", "--full", "--signal=KILL", running[0].split()[0])
    assert launcher.wait() == 0
    rows = json.loads((tmp_path / "s" / "results.json").read_text())["trials"]
    assert sorted(row["trial"] for row in rows) == list(range(8))
    assert {row["state"] for row in rows} == {"complete"}
    assert max(row["tries"] for row in rows) >= 2
