"""A worker of a sweep: takes trials, runs each as a process of its own, tells the study what came of it."""

import ctypes
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from lightning_gen.config.trust import VARIABLE, trusted_packages
from lightning_gen.launch.metric import missing, values_of
from lightning_gen.launch.study import Study
from lightning_gen.reading import read_rows, read_tail

__all__ = ["run_trials", "trial_folder"]


_METRICS = "metrics.jsonl"
#: bytes at the end of a trial's log that say why it failed
_TAIL = 1 << 14


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
    outcome = _watch(study, trial, words, folder, log, beat, poll)
    trial.set_user_attr("folder", str(folder))
    state = optuna.trial.TrialState
    if outcome.pruned:
        study.study.tell(trial, state=state.PRUNED)
    elif outcome.why:
        trial.set_user_attr("error", outcome.why)
        study.study.tell(trial, state=state.FAIL)
    else:
        study.study.tell(trial, outcome.value)


class _Outcome(NamedTuple):
    """What came of a trial: its value, or that it was pruned, or why it failed."""

    value: float | None = None
    pruned: bool = False
    why: str = ""


def _watch(study: Study, trial: Any, words: list[str], folder: Path, log: Path, beat: float, poll: float) -> _Outcome:
    """Run a trial as a process to its end, or to where it is pruned or does not log its metric."""
    reported, last, metric = 0, -math.inf, study.sweep.metric
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
                rows = read_rows(folder / _METRICS, [])
                reported = _report(trial, values_of(rows, metric), reported)
                if trial.should_prune():
                    return _Outcome(pruned=True)
                if others := missing(rows, metric):
                    return _Outcome(why=f"{metric} is not logged: there are {others}")
                time.sleep(poll)
        finally:
            _stop(process)
    values = values_of(read_rows(folder / _METRICS, []), metric)
    if process.returncode:
        said = read_tail(log, _TAIL).strip().splitlines()
        return _Outcome(why=f"status {process.returncode}: {said[-1] if said else 'no word'}")
    if not values:
        return _Outcome(why=f"{metric} was never logged")
    if values[-1] is None:
        return _Outcome(why=f"{metric} is not finite at the end")
    _report(trial, values, reported)
    return _Outcome(values[-1])


def _report(trial: Any, values: list[float | None], reported: int) -> int:
    """Tell the pruner of values it does not know; a step is a row of the metric, counted from 1, as W&B counts."""
    for step in range(reported, len(values)):
        if values[step] is not None:
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
