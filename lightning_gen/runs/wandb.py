"""A run folder mirrored to Weights & Biases, online or offline; whatever happens there, training goes on."""

import json
import math
import netrc
import os
import re
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from lightning_gen.contracts import ImageModule, PictureLogger
from lightning_gen.errors import UserError
from lightning_gen.files import write_text
from lightning_gen.reading import parse_yaml, read_json, read_text

__all__ = ["WandbMirror"]

#: what a summary keeps of a metric, by its name without the group; the last value of all others
_SUMMARIES = {"min": re.compile(r"bits_per_dim|fd|fid|kid"), "max": re.compile(r"precision|recall|density|coverage")}
#: seconds that a silent server may take from a training: at its start, and at its end
_START, _END = 30.0, 300.0


class WandbMirror(Logger, PictureLogger):
    """Mirrors configuration, facts, metrics over images seen, and sample grids of a run; the main process alone does.

    The files of W&B lie in ``wandb/`` inside the run folder; an offline run is sent later with ``wandb sync``. Its id
    is kept there too, so that a resumed run goes on in the same place. A server that stops answering delays the
    training only at its end: one line then says what was not sent, with the command that sends it. Any other failure is
    one line too, and training goes on. No row is lost: the run folder has them all.

    Args:
        project: of W&B.
        entity: user or team (None: the default of the account).
        mode: auto: online where there is a key (``wandb login`` or WANDB_API_KEY), else offline, or as WANDB_MODE says.
        tags: of the run.
        checkpoints: whether last.ckpt and best.ckpt are uploaded as an artifact at the end.

    Raises:
        UserError: mode is online and there is no key.
    """

    def __init__(
        self,
        project: str = "lightning-gen",
        entity: str | None = None,
        mode: Literal["auto", "offline", "online", "disabled"] = "auto",
        tags: list[str] | None = None,
        checkpoints: bool = False,
    ) -> None:
        super().__init__()
        if mode == "online" and not _has_key():
            raise UserError("run.wandb.mode is online: want a key, from wandb login or in WANDB_API_KEY; or offline")
        self.project, self.entity, self.tags, self.checkpoints = project, entity, tags, checkpoints
        self.mode = _automatic_mode() if mode == "auto" else mode
        self.folder: Path | None = None
        self.module: ImageModule | None = None
        self.run: Any = None
        self.defined: set[str] = set()
        self.over = False

    def attach(self, folder: str | Path, module: ImageModule) -> None:
        """Say what is mirrored, before training: the run folder, and the module that counts images seen."""
        self.folder, self.module = Path(folder), module

    @property
    def name(self) -> str:
        return self.project

    @property
    def version(self) -> str | None:
        """The id of the W&B run, None before it has begun."""
        return self.run.id if self.run else None

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """The configuration comes from the run folder."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        seen = self.module.images_seen if self.module else 0
        values = {key: float(value) for key, value in metrics.items() if key != "epoch"}
        # A single NaN would stay the minimum in W&B's summary for good: it is counted beside the curve instead.
        finite = {key: value for key, value in values.items() if math.isfinite(value)}
        broken = {f"not_finite/{key}": 1.0 for key in values.keys() - finite.keys()}
        self._try(lambda run: self._log(run, seen, finite | broken))

    @rank_zero_only
    def log_image(self, name: str, path: Path, images_seen: int) -> None:
        def log(run: Any) -> None:
            import wandb

            run.log({name: wandb.Image(str(path), caption=f"{images_seen:,} images seen"), "images_seen": images_seen})

        self._try(log)

    @rank_zero_only
    def log_sound(self, name: str, path: Path, images_seen: int) -> None:
        def log(run: Any) -> None:
            import wandb

            run.log({name: wandb.Audio(str(path), caption=f"{images_seen:,} images seen"), "images_seen": images_seen})

        self._try(log)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if self.run is not None:
            if self.checkpoints:
                self._try(self._upload)
            self._try(lambda run: _finish(run, 0 if status == "success" else 1))
            self.run, self.over = None, True

    def _try(self, action: Callable[[Any], None]) -> None:
        """Do `action` with the W&B run; the first failure ends the mirror, not the training."""
        if self.over or self.mode == "disabled":
            return
        try:
            if self.run is None:
                self.run = self._begin()
            action(self.run)
        except Exception as error:  # whatever a server, a disk or a network can come up with
            self.over = True
            line = " ".join(str(error).split())[:200]
            print(f"lightning-gen: W&B failed, training goes on without it: {line}", file=sys.stderr, flush=True)

    def _begin(self) -> Any:
        import wandb

        try:
            run = self._init(self.mode)
        except wandb.Error:
            if self.mode == "offline":
                raise
            print("lightning-gen: W&B cannot be reached, the run is kept offline: wandb sync", file=sys.stderr)
            wandb.teardown()  # the service still holds the id of the run that could not begin
            run = self._init("offline")
        run.define_metric("images_seen", hidden=True)
        run.define_metric("*", step_metric="images_seen")
        return run

    def _init(self, mode: str) -> Any:
        import wandb

        assert self.folder is not None, "attach() comes first"
        self.folder.mkdir(parents=True, exist_ok=True)
        # Neither the console nor the differences of the checkout leave this machine: run.json has the commit.
        settings = wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            init_timeout=_START,
            finish_timeout=_END,
            finish_timeout_raises=True,
            resume="allow",
        )
        return wandb.init(
            project=self.project,
            entity=self.entity,
            name=self.folder.resolve().name,
            id=_run_id(self.folder),
            dir=self.folder,
            mode=mode,  # type: ignore[arg-type]
            tags=self.tags,
            config=_config(self.folder),
            settings=settings,
        )

    def _log(self, run: Any, seen: int, values: dict[str, float]) -> None:
        for key in values.keys() - self.defined:
            stem = key.rpartition("/")[2]
            kept = [kind for kind, names in _SUMMARIES.items() if names.match(stem)]
            if kept:
                run.define_metric(key, step_metric="images_seen", summary=",".join(["last", *kept]))
        self.defined |= values.keys()
        run.log({**values, "images_seen": seen})

    def _upload(self, run: Any) -> None:
        import wandb

        assert self.folder is not None
        files = [self.folder / "checkpoints" / f"{name}.ckpt" for name in ("last", "best")]
        present = [path for path in files if path.is_file()]
        if not present:
            return
        name = re.sub(r"[^\w.-]", "_", f"{self.folder.resolve().name}-{run.id}")
        seen = self.module.images_seen if self.module else None
        artifact = wandb.Artifact(name, type="model", metadata={"images_seen": seen})
        for path in present:
            artifact.add_file(str(path), skip_cache=True, policy="immutable")  # no copy outside the run folder
        run.log_artifact(artifact)


def _finish(run: Any, code: int) -> None:
    """Wait for what is on its way; rows are in the run's log on disk from the moment they are logged."""
    try:
        run.finish(exit_code=code)
    except TimeoutError:
        log = Path(run.dir).parent
        line = f"W&B did not take everything within {_END:g} s, nothing is lost: wandb sync --no-skip-online {log}"
        print(f"lightning-gen: {line}", file=sys.stderr, flush=True)


def _automatic_mode() -> str:
    return os.environ.get("WANDB_MODE") or ("online" if _has_key() else "offline")


def _has_key() -> bool:
    """Whether ``wandb login`` has left a key for the server, or the environment holds one."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _run_id(folder: Path) -> str:
    """The id that this run folder was given when it was first mirrored."""
    path = folder / "wandb" / "id"
    if not path.exists():
        write_text(path, os.environ.get("WANDB_RUN_ID") or uuid.uuid4().hex[:12])  # an agent knows the run by its id
    return read_text(path, inside=folder).strip()


def _config(folder: Path) -> dict[str, Any]:
    """config.yaml, with run.json as ``facts``."""
    config, facts = folder / "config.yaml", folder / "run.json"
    values = parse_yaml(read_text(config, inside=folder), config.name) if config.exists() else None
    about = read_json(facts, inside=folder) if facts.exists() else {}
    # Through JSON: only plain values reach the SDK.
    return json.loads(json.dumps({**(values or {}), "facts": about}, default=str))
