"""``fit`` as a sweep calls it: ``python -m lightning_gen.launch.trial -c CONFIG --key=value ...``.

Under ``wandb agent`` it names the run after W&B's, for there every trial has the same command, and mirrors it to W&B,
for the agent reads the metric there. The local engine says by itself where the run lies.
"""

import os
import sys

__all__ = ["fit_words", "main"]


def fit_words(arguments: list[str], environment: dict[str, str]) -> list[str]:
    """The arguments of ``lightning-gen fit``.

    Args:
        arguments: of the trial, ``--key=value`` among them.
        environment: of the process; WANDB_SWEEP_ID and WANDB_RUN_ID under ``wandb agent``.
    """
    sweep, run = environment.get("WANDB_SWEEP_ID"), environment.get("WANDB_RUN_ID")
    given = {word.partition("=")[0] for word in arguments}
    added = []
    if sweep and run and "--run.name" not in given:
        added += [f"--run.root=runs/{sweep}", f"--run.name={run}", "--run.resume=same"]
    if sweep and run and "--run.wandb" not in given:
        added += ["--run.wandb=WandbMirror"]
    return [*arguments, *added]


def main() -> None:
    """Become ``lightning-gen fit``: the same process, so that signals arrive."""
    words = [sys.executable, "-m", "lightning_gen", "fit", *fit_words(sys.argv[1:], dict(os.environ))]
    os.execv(sys.executable, words)


if __name__ == "__main__":
    main()
