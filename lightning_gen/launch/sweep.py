"""``lightning-gen sweep``: a sweep file in W&B's format, run without a server.

    lightning-gen sweep sweeps/flow_depth.yaml --workers 4
    lightning-gen sweep sweeps/flow_depth.yaml --set run.images=3200 seed_everything=[0,1]
    lightning-gen sweep sweeps/flow_depth.yaml --workers 64 --slurm --storage postgresql://me@db/sweeps

All workers share one storage of trials. The trial of a worker that is killed is queued again, and resumes from the last
checkpoint of its run. The same command resumes an interrupted sweep.
"""

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from lightning_gen.config.arguments import Arguments, any_seed, natural, positive
from lightning_gen.errors import UserError
from lightning_gen.launch.devices import shared_out, visible_gpus
from lightning_gen.launch.metric import check_metric
from lightning_gen.launch.results import show, write_best
from lightning_gen.launch.study import Study
from lightning_gen.launch.sweep_file import read_sweep
from lightning_gen.launch.sweep_plots import draw
from lightning_gen.launch.worker import run_trials

__all__ = ["main"]

#: times that workers are started anew where all have died
_STARTS = 3
#: the program of sweeps that train with this project
_TRIAL = "lightning_gen.launch.trial"


def main(arguments: list[str]) -> None:
    """``lightning-gen sweep FILE --workers N``."""
    options = _parser().parse_args(arguments)
    if importlib.util.find_spec("optuna") is None:
        raise UserError("sweep wants Optuna: pip install 'lightning-gen[launch]'")
    sweep = read_sweep(options.file, options.trials, options.set)
    if not sweep.is_fit and not options.any_program:
        words = " ".join([*sweep.command]).replace("${program}", sweep.program)
        raise UserError(f"{options.file} runs {words[:120]}, which is not fit: want --any-program where you trust it")
    if options.dry_run:
        _print_trials(sweep, options.seed)
        return
    if options.slurm and (shutil.which("sbatch") is None or importlib.util.find_spec("submitit") is None):
        raise UserError("slurm wants sbatch and submitit: want a machine from which Slurm jobs are submitted")
    if sweep.program == _TRIAL:
        check_metric(sweep.metric)
    if not (options.slurm or options.worker):  # refused before the trials are laid out
        shared_out(options.workers, visible_gpus(), options.share_gpus)
    folder = options.root.absolute() / sweep.name
    folder.mkdir(parents=True, exist_ok=True)
    url = options.storage or f"sqlite:///{folder / 'sweep.db'}"
    study = Study(sweep, url, options.seed, options.stop, options.heartbeat)
    if options.worker:
        run_trials(study, folder, options.heartbeat / 2)
        return
    study.lay_out()
    _supervise(study, options, [*_worker_words(options, url), "--root", str(options.root.absolute())], folder)
    found = show(study, folder)
    made = [*draw(study, found, folder), write_best(study, found, folder), folder / "results.json"]
    print("\n".join(str(path) for path in made if path))
    failed = [row for row in found if row["state"] == "fail"]
    if failed:
        why = failed[0]["error"] or "its workers died"
        raise UserError(f"{len(failed)} of {len(found)} trials failed, the first of them {failed[0]['trial']}: {why}")


def _parser() -> Arguments:
    parser = Arguments("sweep", __doc__)
    parser.add_argument("file", type=Path, help="a sweep in W&B's format")
    parser.add_argument("--workers", type=positive, default=1, help="processes that run trials (1)")
    parser.add_argument("--trials", type=positive, help="how many, instead of the file's run_cap")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="parameters unlike the file's")
    parser.add_argument("--seed", type=any_seed, default=0, help="of the choice of trials (0)")
    parser.add_argument("--root", type=Path, default=Path("runs"), help="the sweep's folder lies here (runs)")
    parser.add_argument("--storage", help="URL that all workers reach (SQLite in the sweep's folder)")
    parser.add_argument("--stop", choices=["file", "median", "none"], default="file", help="early stopping (file)")
    parser.add_argument(
        "--heartbeat", type=positive, default=60, help="seconds (60); after two without one, a trial restarts"
    )
    parser.add_argument("--share-gpus", action="store_true", help="let several workers use one GPU")
    parser.add_argument("--slurm", action="store_true", help="workers are Slurm jobs")
    parser.add_argument("--time", type=positive, default=240, help="minutes of each Slurm job (240)")
    parser.add_argument("--partition", help="of the Slurm cluster")
    parser.add_argument("--gpus", type=natural, default=0, help="accelerators of each Slurm job (0)")
    parser.add_argument("--any-program", action="store_true", help="run what the file says, be it fit or not")
    parser.trust()
    parser.add_argument("--dry-run", action="store_true", help="print the trials of a grid or random search")
    parser.add_argument("--worker", action="store_true", help="be a worker of a sweep that is laid out")
    return parser


def _worker_words(options: Any, url: str) -> list[str]:
    words = ["sweep", str(options.file.absolute()), "--worker", "--storage", url, "--seed", str(options.seed)]
    words += ["--stop", options.stop, "--heartbeat", str(options.heartbeat)]
    words += ["--set", *options.set] if options.set else []
    words += ["--any-program"] if options.any_program else []
    words += [word for package in options.trust for word in ("--trust", package)]
    return words + (["--trials", str(options.trials)] if options.trials else [])


def _print_trials(sweep: Any, seed: int) -> None:
    if sweep.method == "bayes":
        raise UserError("dry-run got method bayes: want grid or random, whose trials do not depend on results")
    for values in sweep.points(seed):
        print(shlex.join(sweep.words(values)))


def _supervise(study: Study, options: Any, words: list[str], folder: Path) -> None:
    """Start workers, wait until no trial is left, and start workers anew where all have died."""
    for start in range(_STARTS + 1):
        count = min(options.workers, study.unfinished())
        if not count:
            return
        if start:
            print(f"lightning-gen: all workers ended, {study.unfinished()} trials left, once more", file=sys.stderr)
        if options.slurm:
            workers = _slurm_workers(words, count, options, folder)
        else:
            workers = _local_workers(words, shared_out(count, visible_gpus(), options.share_gpus))
        try:
            while any(worker.poll() is None for worker in workers):
                time.sleep(0.5)
        finally:
            for worker in workers:
                worker.terminate()
    if study.unfinished():
        raise UserError(f"{study.unfinished()} trials are left after {_STARTS + 1} starts: see the logs in {folder}")


def _local_workers(words: list[str], environments: list[dict[str, str]]) -> list[Any]:
    command = [sys.executable, "-m", "lightning_gen", *words]
    return [subprocess.Popen(command, env=os.environ | own) for own in environments]


class _Job:
    """A Slurm job with the two words of a process that the supervisor knows."""

    def __init__(self, job: Any) -> None:
        self.job = job

    def poll(self) -> int | None:
        """None while it waits or runs."""
        return 0 if self.job.done(force_check=True) else None

    def terminate(self) -> None:
        """End it, where it has not ended."""
        if self.poll() is None:
            self.job.cancel()


def _slurm_workers(words: list[str], count: int, options: Any, folder: Path) -> list[Any]:
    import submitit

    executor = submitit.SlurmExecutor(folder=folder / "slurm", python=shlex.quote(sys.executable))
    parameters = {"job_name": f"sweep-{folder.name}", "time": options.time, "partition": options.partition}
    parameters |= {"gpus_per_node": options.gpus or None, "ntasks_per_node": 1, "nodes": 1}
    executor.update_parameters(**{key: value for key, value in parameters.items() if value is not None})
    command = submitit.helpers.CommandFunction([sys.executable, "-m", "lightning_gen", *words], verbose=False)
    jobs = [_Job(executor.submit(command)) for _ in range(count)]
    print("jobs", *(job.job.job_id for job in jobs), flush=True)
    return jobs
