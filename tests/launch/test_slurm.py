"""On a real Slurm: jobs that are preempted or lose a process come back and end as if nothing had happened.

Skipped, with the reason, where no Slurm can be installed or started; and unless asked for: five starts of two processes
each take a minute of two cores, and five minutes of two that are busy (seen to pass at a load of 7)."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.launch.kill import differences

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(
        "LIGHTNING_GEN_SLURM_JOBS" not in os.environ,
        reason="takes minutes: LIGHTNING_GEN_SLURM_JOBS=1 runs it",
    ),
]


def fit_words(root: Path, name: str, images: int) -> list[str]:
    run = ["--run.root", root, "--run.name", name, "--run.images", images, "--run.save_every", 64]
    small = ["--data.init_args.batch_size", 16, "--evaluation.samples", 0, "--evaluation.split", "val"]
    return ["fit", "-c", "configs/vae/vae.yaml", *map(str, [*run, *small, "--trainer.log_every_n_steps", 1])]


def submit(slurm, logs: Path, fit: list[str], *options: str) -> str:
    """The number of the job that ``lightning-gen submit`` made."""
    words = ["submit", "--nodes", "1", "--tasks-per-node", "2", "--time", "10", "--logs", str(logs), *options]
    command = [sys.executable, "-m", "lightning_gen", *words, "--", *fit]
    environment = {**slurm.environment, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return re.search(r"job (\d+):", done.stdout)[1]


def wait_for_rows(folder: Path, count: int, seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    path = folder / "metrics.jsonl"
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() < end, f"{path} has no {count} rows"
        time.sleep(0.1)


def logs_of(folder: Path) -> str:
    return "".join(path.read_text() for path in sorted(folder.iterdir()) if path.suffix in (".out", ".err"))


def processes_of(name: str) -> list[int]:
    """Processes of this machine whose environment names the Slurm job `name`, a task each."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = path.joinpath("environ").read_bytes().split(b"\0")
            line = path.joinpath("cmdline").read_bytes()
        except OSError:
            continue
        if f"SLURM_JOB_ID={name}".encode() in words and b"SLURM_PROCID=1" in words and b"submitit" in line:
            found.append(int(path.name))
    return found


def test_a_job_preempted_by_signal_and_one_that_loses_a_task_come_back_and_finish(slurm, tmp_path):
    images = 32 * 100
    job = submit(slurm, tmp_path / "logs", fit_words(tmp_path, "r", images))
    wait_for_rows(tmp_path / "r", 10)
    slurm.run("scancel", "--signal=USR2", job)  # what --signal sends ahead of the job's end
    assert slurm.wait(job, 120, ("PENDING",)) == "PENDING", logs_of(tmp_path / "logs")
    assert slurm.restarts(job) == 1
    before = (tmp_path / "r" / "metrics.jsonl").read_bytes().count(b"\n")
    slurm.state(job)
    wait_for_rows(tmp_path / "r", before + 10)
    [victim] = processes_of(job)[:1]
    os.kill(victim, 9)
    assert slurm.wait(job, 120, ("PENDING",)) == "PENDING", logs_of(tmp_path / "logs")
    assert slurm.restarts(job) == 2
    assert slurm.wait(job, 240) == "COMPLETED", logs_of(tmp_path / "logs")
    log = logs_of(tmp_path / "logs")
    assert re.search(rf"SIGUSR2 after [\d,]+ images: checkpoint written, job {job} requeued", log)
    assert re.search(rf"job {job} ended with status \d+, requeued \(1 of 3\)", log)

    whole = fit_words(tmp_path, "whole", images)
    assert run_pair(whole, tmp_path) == 0
    assert differences(tmp_path / "whole", tmp_path / "r") == []


def run_pair(words: list[str], folder: Path) -> int:
    """The same training under torchrun, never stopped."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    more = ["-m", "lightning_gen", *words, "-c", "configs/trainer/ddp_sim.yaml"]
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}
    return subprocess.run([*command, *more], env=environment).returncode


def test_without_retries_a_lost_task_is_one_plain_line(slurm, tmp_path):
    job = submit(slurm, tmp_path / "logs", fit_words(tmp_path, "r", 32 * 5000), "--retries", "0")
    wait_for_rows(tmp_path / "r", 5)
    [victim] = processes_of(job)[:1]
    os.kill(victim, 9)
    assert slurm.wait(job, 120) == "FAILED"
    lines = [line for line in logs_of(tmp_path / "logs").splitlines() if line.startswith("lightning-gen:")]
    assert len(lines) == 1
    assert re.match(rf"lightning-gen: job {job} ended with status \d+ after 0 retries, its last checkpoint", lines[0])
