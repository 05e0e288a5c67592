"""The study behind a sweep: its trials in an Optuna storage, shared by workers, any of which may be killed.

All trials are queued when the study is made, so that they do not depend on the workers that run them. A worker sends a
heartbeat for its trial. A trial without one is queued again.
"""

import random
import time
import warnings
from collections.abc import Iterator
from typing import Any

from lightning_gen.errors import UserError
from lightning_gen.launch.sweep_file import SweepFile

__all__ = ["Study"]

_RETRIES = 5


class Study:
    """A sweep's trials.

    Args:
        sweep: what varies.
        url: of the storage, e.g. ``sqlite:///runs/flow_depth/sweep.db`` or ``postgresql://user@host/sweeps``.
        seed: of all trials.
        stop: file: as the sweep says; median: stop what is worse than the median at the same step; none.
        heartbeat: seconds between two of a trial; a trial without one for twice as long is queued again.

    Raises:
        UserError: the storage cannot be opened, or holds another sweep of this name.
    """

    def __init__(self, sweep: SweepFile, url: str, seed: int, stop: str = "file", heartbeat: int = 60) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", "Heartbeat of storage is supposed")  # `beat` sends them, not Optuna's loop
        self.sweep, self.seed = sweep, seed
        waits: dict[str, Any] = {"connect_args": {"timeout": 120}} if url.startswith("sqlite") else {}
        retry = optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=_RETRIES)
        try:
            self.storage = optuna.storages.RDBStorage(
                url,
                engine_kwargs=waits,
                heartbeat_interval=heartbeat,
                grace_period=2 * heartbeat,
                heartbeat_stale_trial_callback=retry,
            )
            if url.startswith("sqlite"):
                _serialise(self.storage.engine)
            direction: Any = "maximize" if sweep.maximize else "minimize"
            self.study = optuna.create_study(
                study_name=sweep.name,
                storage=self.storage,
                direction=direction,
                load_if_exists=True,
                pruner=_pruner(sweep, stop),
            )
        except (ImportError, optuna.exceptions.StorageInternalError, ValueError) as error:
            raise _unusable(url, error) from error
        except Exception as error:  # SQLAlchemy's own, of a module that only Optuna imports
            if not type(error).__module__.startswith("sqlalchemy"):
                raise
            raise _unusable(url, error) from error

    def lay_out(self) -> None:
        """Make the slots of all trials, once; one process does, before there are workers.

        Raises:
            UserError: the storage holds another sweep of this name, or the same with another seed.
        """
        attributes = self.study.user_attrs
        if attributes.get("digest", self.sweep.digest) != self.sweep.digest:
            raise UserError(f"sweep {self.sweep.name} has changed since its trials were laid out: want another --root")
        if attributes.get("seed", self.seed) != self.seed:
            raise UserError(f"seed is {self.seed}, but {attributes['seed']} in the storage: want the same")
        self.study.set_user_attr("digest", self.sweep.digest)
        self.study.set_user_attr("seed", self.seed)
        there = {trial.user_attrs.get("index") for trial in self.study.get_trials(deepcopy=False)}
        points = [None] * (self.sweep.cap or 0) if self.sweep.method == "bayes" else self.sweep.points(self.seed)
        for index, values in enumerate(points):
            if index not in there:  # all are, unless the process that queued them was killed
                about = {"index": index} if values is None else {"index": index, "values": values}
                self.study.enqueue_trial({}, user_attrs=about)

    def claim(self, poll: float = 1.0) -> Iterator[Any]:
        """Yield trials for this worker, one after the other, until all have ended. Where others still run trials, wait:
        a trial whose worker is killed is queued again."""
        import optuna

        seen: set[int] = set()
        while True:
            optuna.storages.fail_stale_trials(self.study)
            latest = self.latest().values()
            states = {trial.state.name for trial in latest}
            if "WAITING" in states:
                trial = self.study.ask()
                if "index" in trial.user_attrs:
                    self.beat(trial)
                    if "values" not in trial.user_attrs:
                        self._suggest(trial)
                    yield trial
                else:  # another worker was faster, and Optuna made a new trial
                    self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
            elif "RUNNING" in states:
                # Optuna calls a trial stale only after its first heartbeat. A worker that is killed before it has sent
                # one would leave the trial running for ever: this worker sends one for every running trial.
                running = {trial._trial_id for trial in latest if trial.state.name == "RUNNING"}
                for identifier in running - seen:
                    self.storage.record_heartbeat(identifier)
                seen |= running
                time.sleep(poll)
            else:
                return

    def beat(self, trial: Any) -> None:
        """Record a heartbeat of `trial`."""
        self.storage.record_heartbeat(trial._trial_id)

    def latest(self) -> dict[int, Any]:
        """Return the latest try of every trial, by index."""
        trials = self.study.get_trials(deepcopy=False)
        return {t.user_attrs["index"]: t for t in trials if "index" in t.user_attrs}

    def unfinished(self) -> int:
        """Trials that wait or run."""
        return sum(not trial.state.is_finished() for trial in self.latest().values())

    def _suggest(self, trial: Any) -> None:
        """Ask Bayesian search for the values of `trial`, and keep them with it."""
        import optuna

        index = trial.user_attrs["index"]
        numbers = random.Random(f"{self.seed}/{index}").randrange(2**31)
        start = max(2, min(10, (self.sweep.cap or 8) // 4))
        # A sampler of its own for each trial: what is drawn depends on the seed, the index and the trials that ended.
        self.study.sampler = optuna.samplers.TPESampler(seed=numbers, n_startup_trials=start, constant_liar=True)
        chosen = {}
        for p in self.sweep.parameters:
            if p.choice and len(p.values) > 1:
                chosen[p.name] = p.values[trial.suggest_categorical(p.name, list(range(len(p.values))))]
            else:  # in the unit interval every distribution is flat
                chosen[p.name] = p.values[0] if len(p.values) == 1 else p.at(trial.suggest_float(p.name, 0.0, 1.0))
        trial.set_user_attr("values", chosen)


def _serialise(engine: Any) -> None:
    """Let every transaction of SQLite take the lock as it begins. Optuna reads whether a trial waits and then marks it
    as taken, with a row lock between that SQLite does not have: two workers could take the same trial."""
    import sqlalchemy

    def begin(connection: Any) -> None:
        connection.connection.dbapi_connection.isolation_level = None  # else the driver begins by itself, and later
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    sqlalchemy.event.listen(engine, "begin", begin)


def _unusable(url: str, error: Exception) -> UserError:
    why = str(error).splitlines()[0] if str(error) else type(error).__name__
    return UserError(f"storage is {url}: {why}; want sqlite:///FILE or postgresql://USER@HOST/NAME")


def _pruner(sweep: SweepFile, stop: str) -> Any:
    import optuna

    if stop == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=1)
    if stop == "file" and sweep.stopping:
        # W&B's hyperband is one bracket, stopped asynchronously: successive halving (Li et al. 2020, Algorithm 2).
        first, eta = sweep.stopping["min_iter"], sweep.stopping["eta"]
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=first, reduction_factor=eta)
    return optuna.pruners.NopPruner()
