"""A worker of a sweep: takes trials, runs each as a process of its own, tells the study what came of it."""

import ctypes
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from lightning_gen.config.trust import VARIABLE, trusted_packages
from lightning_gen.files import read_json_lines
from lightning_gen.launch.study import Study

__all__ = ["run_trials", "trial_folder"]


def trial_folder(root: Path, sweep: str, index: int) -> Path:
    """Where the run of a trial lies: ``root/SWEEP-007``."""
    return root / f"{sweep}-{index:03d}"


def run_trials(study: Study, root: Path, beat: float, poll: float = 0.5) -> None:
    """Run trials until none is left.

    Args:
        study: to take them from.
        root: folder of the runs.
        beat: seconds between signs of life.
        poll: seconds between looks at the training.
    """
    for trial in study.claim(poll):
        _run(study, trial, root, beat, poll)


def _run(study: Study, trial: Any, root: Path, beat: float, poll: float) -> None:
    import optuna

    folder = trial_folder(root, study.sweep.name, trial.user_attrs["index"])
    # A try before this one may have left a run: it goes on from its newest checkpoint.
    place = [f"--run.root={root}", f"--run.name={folder.name}", "--run.resume=same"]
    words = study.sweep.words(trial.user_attrs["values"]) + place
    root.mkdir(parents=True, exist_ok=True)
    log = root / f"{folder.name}.log"
    reported, last = 0, -math.inf
    with open(log, "ab") as stream:
        # A sweep file may come from elsewhere: fit imports what is trusted, and nothing else.
        environment = {**os.environ, VARIABLE: ",".join(sorted(trusted_packages()))}
        process = subprocess.Popen(
            words, stdout=stream, stderr=subprocess.STDOUT, env=environment, preexec_fn=_die_with_parent
        )
        try:
            while process.poll() is None:
                if time.monotonic() - last > beat:
                    study.beat(trial)
                    last = time.monotonic()
                reported = _report(study, trial, folder, reported)
                if trial.should_prune():
                    _stop(process)
                    study.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                    return
                time.sleep(poll)
        finally:
            _stop(process)
    values = _history(folder, study.sweep.metric)
    trial.set_user_attr("folder", str(folder))
    if process.returncode or not values:
        said = log.read_text(errors="replace").strip().splitlines()
        why = f"status {process.returncode}: {said[-1] if said else 'no word'}"
        why = why if process.returncode else f"{study.sweep.metric} was never logged"
        trial.set_user_attr("error", why)
        study.study.tell(trial, state=optuna.trial.TrialState.FAIL)
    else:
        _report(study, trial, folder, reported)
        study.study.tell(trial, values[-1])


def _history(folder: Path, metric: str) -> list[float]:
    """The metric, row after row; rows where it is not finite are left out."""
    path = folder / "metrics.jsonl"
    rows = read_json_lines(path) if path.exists() else []
    return [row[metric] for row in rows if isinstance(row.get(metric), int | float)]


def _report(study: Study, trial: Any, folder: Path, reported: int) -> int:
    """Tell the pruner of rows it does not know; a step is a row of the metric, counted from 1, as W&B counts."""
    values = _history(folder, study.sweep.metric)
    for step in range(reported, len(values)):
        trial.report(values[step], step + 1)
    return max(reported, len(values))


def _stop(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _die_with_parent() -> None:
    """A worker that is killed outright takes its training along: two must never write into one run folder."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() == 1:
            os._exit(1)
