"""Two processes: killed at random moments and resumed they are bit-equal to a run that was never stopped, for every
family, also with weights in pieces and images in shards; weights agree; they are one process with both batches.

The long version: python -m tests.launch.kill --kills 20"""

import json
import subprocess
import sys

import pytest


def run(*words: str) -> list[dict]:
    """The JSON lines of a module that forks trainings; in a process of its own, since a fork wants a parent without
    threads."""
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.mark.parametrize(
    "words",
    [
        ["vae", "--trainer", "fsdp_sim", "--shards"],
        *(
            pytest.param([name], marks=pytest.mark.exhaustive)
            for name in ("gan", "vae", "flow", "pixelcnn", "stylegan2")
        ),
    ],
    ids=" ".join,
)
def test_killed_twice_and_resumed_is_never_stopped(words):
    [result] = run("tests.launch.kill", "--kills", "2", "--family", *words)
    assert (result["kills"], result["differences"]) == (2, [])
    assert result["while_writing"] >= 1


def test_two_processes_agree_and_are_one_with_the_batches_of_both():
    found = {result["what"]: result for result in run("tests.launch.pairs")}
    assert found["noise per process"]["equal"] is False
    assert found["two are one"]["largest_difference"] < 1e-4
    assert found["pieces are whole"]["differences"] == []
    assert found["asked to leave"] == {"what": "asked to leave", "statuses": [143, 143], "differences": []}
    assert found["killed while accumulating"]["differences"] == []
    assert found["captured steps are eager"]["differences"] == []
