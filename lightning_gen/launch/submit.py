"""``lightning-gen submit``: a training as a Slurm job that comes back, through submitit.

    lightning-gen submit --nodes 2 --gpus-per-node 8 --time 1440 -- fit -c configs/flow/glow.yaml --run.name glow

Slurm starts one process per accelerator (srun). A signal ahead of the job's end makes the training write a checkpoint,
and the job returns to the queue; a process that is killed outright ends all others, and the job returns to the queue
too, as often as --retries says. The run goes on from its newest checkpoint each time.
"""

import importlib.util
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from lightning_gen.config.arguments import Arguments, any_seed, natural, positive
from lightning_gen.errors import UserError

__all__ = ["Command", "fit_arguments", "main"]

#: in the job's script, before srun: what happens when it ends. A status of 2 is the user's mistake, reported once. A
#: job that is not RUNNING any more was cancelled, or has been requeued by the training itself.
_AGAIN = """leave() {
  code=$?; tries={folder}/$SLURM_JOB_ID.retries; n=$(cat $tries 2>/dev/null || echo 0)
  name=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}; name=${name:-$SLURM_JOB_ID}
  [ $code -eq 0 ] && return
  scontrol show job $SLURM_JOB_ID | grep -q JobState=RUNNING || return
  if [ $code -ne 2 ] && [ $n -lt {retries} ]; then
    echo $((n + 1)) > $tries
    echo "lightning-gen: job $name ended with status $code, requeued ($((n + 1)) of {retries})" >&2
    scontrol requeue $name
  else
    echo "lightning-gen: job $name ended with status $code after $n retries, its last checkpoint stands" >&2
  fi
}
trap leave EXIT"""


class Command:
    """``lightning-gen`` ARGUMENTS, as submitit calls it in every task of a job.

    Args:
        arguments: of the command line.
    """

    def __init__(self, arguments: list[str]) -> None:
        self.arguments = arguments

    def __call__(self) -> None:
        from lightning_gen.config.cli import main

        if status := main(self.arguments):
            raise SystemExit(status)


def main(arguments: list[str]) -> None:
    """``lightning-gen submit [options] -- fit ...``."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    options = _parser().parse_args(arguments[:cut])
    command = arguments[cut + 1 :]
    if not command or command[0] != "fit":
        raise UserError(f"submit got the command {' '.join(command[:1])!r}: want -- fit ... at its end")
    commands = fit_arguments(command, options.nodes, options.gpus_per_node, options.tasks_per_node, options.seeds)
    parameters = slurm_parameters(options)
    if options.dry_run:
        for words in commands:
            print(shlex.join(["lightning-gen", *words]))
        print("\n".join(f"{key}: {value}" for key, value in parameters.items()))
        return
    if importlib.util.find_spec("submitit") is None:
        raise UserError("submit wants submitit: pip install 'lightning-gen[launch]'")
    if shutil.which("sbatch") is None:
        raise UserError("submit found no sbatch: want a machine from which Slurm jobs are submitted, or --dry-run")
    for job in _submit(commands, options.logs, parameters):
        print(f"job {job.job_id}: {options.nodes} nodes, log {job.paths.stderr}", flush=True)


def _parser() -> Arguments:
    parser = Arguments("submit", __doc__)
    parser.add_argument("--nodes", type=positive, default=1, help="machines (1)")
    parser.add_argument("--gpus-per-node", type=natural, default=0, help="accelerators of each, a process per one (0)")
    parser.add_argument("--tasks-per-node", type=positive, help="processes of each, where there are no accelerators")
    parser.add_argument("--cpus-per-task", type=positive, default=1, help="cores of a process (1)")
    parser.add_argument("--time", type=positive, default=60, help="minutes until Slurm ends the job (60)")
    parser.add_argument("--warn", type=positive, default=120, help="seconds before that for the checkpoint (120)")
    parser.add_argument("--partition", help="of the cluster (its default)")
    parser.add_argument("--account", help="of the cluster (the user's default)")
    parser.add_argument("--retries", type=natural, default=3, help="times a job comes back after a failure (3)")
    parser.add_argument("--seeds", type=any_seed, nargs="+", help="a job array, one run NAME-seedS for each")
    parser.add_argument("--logs", type=Path, default=Path("slurm"), help="folder of scripts and logs (slurm)")
    parser.add_argument("--dry-run", action="store_true", help="print commands and parameters, submit nothing")
    return parser


def fit_arguments(
    command: list[str], nodes: int, gpus: int, tasks: int | None, seeds: list[int] | None
) -> list[list[str]]:
    """Build what each job runs: the command, with its number of processes, resuming a run that exists.

    Args:
        command: ``fit`` and its arguments, a ``--run.name`` among them.
        nodes: 1 or more.
        gpus: accelerators of each node, 0 for a training on processors.
        tasks: processes of each node where `gpus` is 0; None: 1.
        seeds: a run for each (None: one run, with the seed of its configuration).

    Raises:
        UserError: the run has no name of its own, or `tasks` contradicts `gpus`.
    """
    if gpus and tasks not in (None, gpus):
        raise UserError(f"tasks-per-node is {tasks}: want {gpus}, one for each accelerator, or nothing")
    if "--run.name" not in command[:-1]:
        raise UserError("submit wants --run.name NAME after fit: a job that comes back looks for its run by name")
    place = command.index("--run.name") + 1
    shape = ["--trainer.num_nodes", str(nodes), "--trainer.devices", str(gpus or tasks or 1)]
    shape += ["--trainer.accelerator", "gpu" if gpus else "cpu"]
    if "--run.resume" not in command:
        shape += ["--run.resume", "same"]
    if seeds is None:
        return [[*command, *shape]]
    named = [[*command[:place], f"{command[place]}-seed{seed}", *command[place + 1 :]] for seed in seeds]
    return [[*words, "--seed_everything", str(seed), *shape] for words, seed in zip(named, seeds, strict=True)]


def slurm_parameters(options: Any) -> dict[str, Any]:
    """The options of the command line as submitit's executor takes them."""
    again = _AGAIN.replace("{folder}", shlex.quote(str(options.logs.absolute())))
    parameters = {
        "job_name": "lightning-gen",
        "nodes": options.nodes,
        "ntasks_per_node": options.gpus_per_node or options.tasks_per_node or 1,
        "cpus_per_task": options.cpus_per_task,
        "gpus_per_node": options.gpus_per_node or None,
        "time": options.time,
        "signal_delay_s": options.warn,
        "partition": options.partition,
        "account": options.account,
        # Where one process fails, the others end too: they would wait for it in a collective for ever.
        "srun_args": ["--kill-on-bad-exit=1"],
        "setup": [again.replace("{retries}", str(options.retries))],
        "additional_parameters": {"requeue": True},
    }
    return {key: value for key, value in parameters.items() if value is not None}


def _submit(commands: list[list[str]], logs: Path, parameters: dict[str, Any]) -> list[Any]:
    import submitit

    executor = submitit.SlurmExecutor(folder=logs.absolute(), python=shlex.quote(sys.executable))
    executor.update_parameters(**parameters)
    if len(commands) == 1:
        return [executor.submit(Command(commands[0]))]
    return executor.map_array(_call, [Command(words) for words in commands])


def _call(command: Command) -> None:
    command()
