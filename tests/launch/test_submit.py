"""What ``lightning-gen submit`` hands to Slurm, and what it refuses."""

import pytest

from lightning_gen.config.cli import main

FIT = ["--", "fit", "-c", "configs/vae/vae.yaml", "--run.name", "r"]


def test_a_job_knows_its_shape_and_goes_on_with_its_run(capsys):
    assert main(["submit", "--nodes", "2", "--gpus-per-node", "8", "--dry-run", *FIT]) == 0
    out = capsys.readouterr().out
    assert "--trainer.num_nodes 2 --trainer.devices 8 --trainer.accelerator gpu --run.resume same" in out
    assert "ntasks_per_node: 8" in out
    assert "gpus_per_node: 8" in out


def test_seeds_are_an_array_of_runs_of_their_own(capsys):
    assert main(["submit", "--seeds", "3", "4", "--dry-run", *FIT]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "--run.name r-seed3 --seed_everything 3" in lines[0]
    assert "--run.name r-seed4 --seed_everything 4" in lines[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--nodes", "0", *FIT], "'0' given: want a whole number, 1 to"),
        (["--nodes", "1"], "submit got the command '': want -- fit ... at its end"),
        (["--", "sample", "runs/r"], "submit got the command 'sample': want -- fit"),
        (["--", "fit", "-c", "x.yaml"], "submit wants --run.name NAME after fit"),
        (["--gpus-per-node", "8", "--tasks-per-node", "2", *FIT], "tasks-per-node is 2: want 8, one for each"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, words, capsys):
    assert main(["submit", *arguments]) == 2
    line = capsys.readouterr().err
    assert words in line
    assert line.count("\n") == 1


def test_a_machine_without_slurm_is_told(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["submit", *FIT]) == 2
    assert "found no sbatch" in capsys.readouterr().err
