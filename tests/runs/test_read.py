"""A run folder can be read at any moment of its life."""

import json

import pytest

from lightning_gen.errors import UserError
from lightning_gen.runs.read import find_runs, read_run, read_runs

from .conftest import bits, evaluation


def test_a_whole_run(make_run):
    run = read_run(make_run("a", [evaluation(bits(2.0))]))
    assert (run.label, run.baseline, run.images_seen, run.budget, run.seconds) == ("a", False, 6000, 6000, 12.0)
    assert run.config["model.init_args.latent_dim"] == 16
    assert [grid.images_seen for grid in run.grids] == [3000, 6000]
    assert run.problems == []


@pytest.mark.parametrize("name", ["config.yaml", "run.json", "metrics.jsonl", "evaluations.jsonl"])
def test_any_file_may_be_missing_or_torn(make_run, name):
    folder = make_run("a", [evaluation(bits(2.0))])
    content = (folder / name).read_text()
    for keep in range(0, len(content), max(1, len(content) // 60)):
        (folder / name).write_text(content[:keep])
        assert len(read_run(folder).metrics) in (range(31) if name == "metrics.jsonl" else [31])
    (folder / name).unlink()
    assert read_run(folder).problems == []


def test_a_line_torn_in_the_middle_costs_that_line_alone(make_run):
    folder = make_run("a")
    with open(folder / "metrics.jsonl", "a") as stream:
        stream.write('{"images_seen": 6200, "sec\n{"images_seen": 6400, "x": NaN}\n[1]\n')
    run = read_run(folder)
    assert run.metrics[-1] == {"images_seen": 6400, "x": None}
    assert run.problems == ["metrics.jsonl: 2 damaged lines left out"]


def test_values_that_are_not_finite_become_none(make_run):
    folder = make_run("a")
    (folder / "metrics.jsonl").write_text('{"images_seen": 1, "a": Infinity, "b": 1e999, "c": null}\n')
    assert (
        json.dumps(read_run(folder).metrics, allow_nan=False) == '[{"images_seen": 1, "a": null, "b": null, "c": null}]'
    )


def test_a_root_is_searched_and_each_run_found_once(make_run, tmp_path):
    a = make_run("a")
    b = make_run("b", root=tmp_path / "runs" / "sweep")
    (a / "wandb" / "offline").mkdir(parents=True)
    (a / "wandb" / "offline" / "run.json").write_text("{}")
    assert find_runs([tmp_path, a, b]) == [a, b]


def test_equal_names_are_told_apart(make_run, tmp_path):
    make_run("a", root=tmp_path / "x")
    make_run("a", root=tmp_path / "y")
    assert [run.label for run in read_runs([tmp_path])] == ["x/a", "y/a"]


def test_no_runs_is_a_user_error(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match="want a run, or a folder that holds runs"):
            find_runs([path])
