"""The format of sweeps: every distribution, W&B's own validation, and bad input in one line each."""

import os
import random
from pathlib import Path

import pytest
import yaml

from lightning_gen.errors import UserError
from lightning_gen.launch.space import parameter
from lightning_gen.launch.sweep_file import read_sweep
from lightning_gen.launch.trial import fit_words

SHIPPED = sorted(Path("sweeps").glob("*.yaml"))
GOOD = {
    "method": "random",
    "run_cap": 8,
    "program": "train.py",
    "metric": {"name": "loss"},
    "parameters": {"lr": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1.0}, "width": {"values": [0, 1]}},
}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_sweeps_pass_the_validation_of_wandb_and_run_here(path):
    sweeps = pytest.importorskip("sweeps.config", reason="W&B's validator: pip install --no-deps sweeps jsonref")
    from wandb.apis.public.sweeps import _validate_config_and_fill_distribution

    config = yaml.safe_load(path.read_text())
    assert sweeps.schema_violations_from_proposed_config(config) == []
    _validate_config_and_fill_distribution(config)
    sweep = read_sweep(path)
    word = sweep.words(sweep.draw(random.Random(0)))
    assert Path(word[word.index("-c") + 1]).exists()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_agent_of_wandb_gives_the_same_command(path):
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    sweep = read_sweep(path)
    values = sweep.draw(random.Random(0))
    known = create_sweep_command_args({"args": {name: {"value": value} for name, value in values.items()}})
    known |= {"env": ["/usr/bin/env"], "interpreter": ["python"], "program": [sweep.program]}
    words = [w for part in create_sweep_command(list(sweep.command)) for w in known.get(part[2:-1], [part])]
    assert words[2:] == sweep.words(values)[2:]


def test_under_the_agent_a_run_is_named_after_wandb():
    assert fit_words(["--a=1"], {}) == ["--a=1"]
    words = fit_words(["--a=1"], {"WANDB_SWEEP_ID": "s", "WANDB_RUN_ID": "r"})
    assert words[1:] == ["--run.root=runs/s", "--run.name=r", "--run.resume=same", "--run.wandb=WandbMirror"]


@pytest.mark.parametrize(
    ("spec", "low", "middle", "high"),
    [
        ({"min": 1, "max": 4}, 1, 3, 4),
        ({"min": 0.0, "max": 4.0}, 0, 2, 4),
        ({"distribution": "log_uniform_values", "min": 0.01, "max": 1}, 0.01, 0.1, 1),
        ({"distribution": "log_uniform", "min": 0, "max": 2}, 1, 2.7182818, 7.389),
        ({"distribution": "inv_log_uniform_values", "min": 0.01, "max": 1}, 1, 0.1, 0.01),
        ({"distribution": "inv_log_uniform", "min": 0, "max": 2}, 1, 0.36788, 0.13534),
        ({"distribution": "q_uniform", "min": 0, "max": 1, "q": 0.1}, 0, 0.5, 1),
        ({"distribution": "q_log_uniform_values", "min": 1, "max": 100, "q": 5}, 0, 10, 100),
        ({"distribution": "normal", "mu": 3, "sigma": 2}, 3 - 2 * 7.0344, 3, 3 + 2 * 7.0344),
        ({"distribution": "q_normal", "mu": 3, "sigma": 0.1}, 2, 3, 4),
        ({"distribution": "log_normal", "mu": 0, "sigma": 0.1}, 0.4949, 1, 2.0207),
        ({"distribution": "beta", "a": 2, "b": 2}, 0, 0.5, 1),
        ({"value": 7}, 7, 7, 7),
        ({"values": [5, 6, 7]}, 5, 6, 7),
        ({"values": [5, 6], "probabilities": [0.25, 0.75]}, 5, 6, 6),
    ],
)
def test_distributions(spec, low, middle, high):
    at = parameter("x", spec).at
    assert [at(0.0), at(0.5), at(1 - 1e-13)] == pytest.approx([low, middle, high], rel=1e-2, abs=1e-9)


def test_grid_is_the_product_and_a_random_search_depends_on_its_seed(tmp_path):
    grid = _write(tmp_path, method="grid", parameters={"a": {"values": [1, 2]}, "b": {"min": 1, "max": 3}})
    points = [tuple(p.values()) for p in read_sweep(grid, 5).points(0)]
    assert points == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2)]
    drawn = read_sweep(_write(tmp_path))
    assert drawn.points(1) == drawn.points(1) != drawn.points(2)
    assert read_sweep(_write(tmp_path, run_cap=3)).points(1) == drawn.points(1)[:3]


def test_parameters_can_be_set_without_another_file(tmp_path):
    path = _write(tmp_path)
    sweep = read_sweep(path, 3, ["width=5", "run.images=100", "seed=[0, 1]"])
    assert {p.name: p.values for p in sweep.parameters[1:]} == {"width": (5,), "run.images": (100,), "seed": (0, 1)}
    assert sweep.digest != read_sweep(path, 3).digest == read_sweep(path, 3, []).digest
    for wrong in ("width", "=3", "width=[1"):
        with pytest.raises(UserError, match="want KEY=VALUE"):
            read_sweep(path, 3, [wrong])


def _write(folder, **changes):
    path = folder / "s.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in {**GOOD, **changes}.items() if v is not None}))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "annealing"}, "method is annealing: want grid, random or bayes"),
        ({"metric": None}, "metric is None: want a mapping with a name"),
        ({"metric": {"name": "a", "goal": "up"}}, "metric.goal is up: want minimize or maximize"),
        ({"parameters": {}}, "parameters is {}: want a mapping"),
        ({"run_cap": None}, "run_cap is missing: want a number of trials"),
        ({"run_cap": 0}, "run_cap is 0: want a whole number"),
        ({"method": "grid"}, "parameters.lr has no end: want values"),
        ({"program": None}, "program is None: want what"),
        ({"command": ["a"]}, "command is ['a']: want a list of words with ${args}"),
        ({"command": ["${args}", "${x}"]}, "command has ${x}: want one of"),
        ({"early_terminate": {"type": "envelope"}}, "want type hyperband"),
        ({"early_terminate": {"type": "hyperband"}}, "early_terminate has no min_iter"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 1.5}}, "early_terminate.eta is 1.5"),
        ({"colour": 1}, "colour is no key that runs here"),
        ({"parameters": {"a": 3}}, "parameters.a is 3: want a mapping"),
        ({"parameters": {"a": {"parameters": {}}}}, "parameters.a is nested: want one dotted name"),
        ({"parameters": {"a": {"distribution": "cauchy"}}}, "parameters.a.distribution is cauchy"),
        ({"parameters": {"a": {"min": 1}}}, "want value, values, or min and max"),
        ({"parameters": {"a": {"min": 1, "max": 2.5}}}, "want both whole or both with a point"),
        ({"parameters": {"a": {"min": 2, "max": 1}}}, "parameters.a.min is 2: want less than max, 1"),
        ({"parameters": {"a": {"min": "x", "max": 1, "distribution": "uniform"}}}, "parameters.a.min is 'x'"),
        ({"parameters": {"a": {"values": []}}}, "parameters.a.values is []: want a list"),
        ({"parameters": {"a": {"values": [1], "probabilities": [0.5]}}}, "probabilities sum to 0.5: want 1"),
        ({"parameters": {"a": {"values": [1], "probabilities": [1, 0]}}}, "want 1 numbers"),
        ({"parameters": {"a": {"distribution": "log_uniform_values", "min": 0, "max": 1}}}, "want more than 0 for"),
        ({"parameters": {"a": {"distribution": "q_normal", "q": 0}}}, "parameters.a.q is 0: want more than 0"),
        ({"parameters": {"a": {"distribution": "uniform", "min": 0}}}, "parameters.a lacks max"),
    ],
)
def test_bad_input_is_one_plain_line(tmp_path, changes, message):
    with pytest.raises(UserError) as caught:
        read_sweep(_write(tmp_path, **changes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("method", "parameters", "words"),
    [
        ("grid", "x: {min: 0, max: 1000000000000}", "parameters.x has no end"),
        ("grid", "x: {distribution: q_uniform, min: 0, max: 1e9, q: 1e-6}", "parameters.x has no end"),
        ("grid", "x: {min: 0, max: 9999}\n  y: {min: 0, max: 9999}", "too many trials"),
        ("random", "x: {min: 0, max: 1}\nrun_cap: 1000000000000", "too many trials"),
        ("grid", "x: &a {values: [*a]}", "nested without end"),
        ("grid", "x: {value: 0x" + "f" * 9000 + "}", "cannot be read"),
    ],
)
def test_a_sweep_file_keeps_no_machine_busy(method, parameters, words, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(f"method: {method}\nmetric: {{name: eval/fd}}\nparameters:\n  {parameters}\n")
    with pytest.raises(UserError, match=words):
        read_sweep(path)


def test_a_sweep_file_is_an_ordinary_file_and_may_hold_dates(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(UserError, match="is no ordinary file"):
        read_sweep(tmp_path / "pipe.yaml")
    path = tmp_path / "x.yaml"
    path.write_text(
        "program: a.py\nmethod: grid\nmetric: {name: eval/fd}\n"
        "parameters: {x: {value: 2026-01-01}, y: {min: 0, max: 3}}\n"
    )
    assert len(read_sweep(path).points(0)) == 4
