"""Axes: the algebra of locks, steps that are closed at a picture, what is measured, and the command."""

import json
from dataclasses import replace

import pytest
import torch

from lightning_gen.config.cli import main
from lightning_gen.config.loading import load_run
from lightning_gen.contracts import StyleModule
from lightning_gen.errors import UserError
from lightning_gen.evaluation.readers import attribute_reader
from lightning_gen.tasks.common.axes import Axes, axes_hash, fit_axes, load_axes, locked_steps, ridge
from lightning_gen.tasks.common.axis_facts import correlations, ranges
from lightning_gen.tasks.common.axis_path import AxisPath, edit, look
from lightning_gen.tasks.common.code_space import CodeSpace
from lightning_gen.tasks.common.own_picture import find_code


class Bent:
    """A space and a reader whose scores bend: two attributes of codes of three numbers, which leak into each other."""

    def __init__(self, differentiable):
        self.differentiable = differentiable

    def draw(self, n, seed):
        return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed)) * torch.tensor([1.0, 0.5, 2.0])

    def images(self, codes):
        return codes

    def paint(self, codes):
        return codes / 100  # signed

    def scores(self, codes):
        a, b = codes[:, 0] + 0.4 * codes[:, 1], codes[:, 1] + 0.3 * codes[:, 0].square()
        return torch.stack([a + 0.1 * a.tanh(), b], 1)

    def scores_of_signed(self, x):
        return self.scores(100 * x)

    def score_of(self, values):
        return values


def _bent(differentiable=False, low=-9.0, high=9.0):
    space = Bent(differentiable)
    codes = space.draw(4000, 0)
    axes, _ = fit_axes(codes, space.scores(codes))
    ends = {"low": low, "high": high}
    return space, codes, replace(axes, about={"names": ["a", "b"], "ranges": {"a": ends, "b": ends}})


def test_ridge_finds_a_linear_score_and_says_what_it_explains():
    codes = torch.randn(2000, 4)
    scores = torch.stack([codes @ torch.tensor([1.0, -2, 0, 0]), torch.randn(2000)], 1)
    weights, explained = ridge(codes, scores)
    assert torch.allclose(weights[:, 0], torch.tensor([1.0, -2, 0, 0]), atol=3e-2)
    assert float(explained[0]) > 0.99
    assert float(explained[1]) < 0.05


def test_locked_steps_move_one_score_and_are_the_shortest_that_do():
    covariance = torch.diag(torch.tensor([1.0, 0.25, 4.0])) + 0.1
    weights = torch.tensor([[1.0, 0.5], [0.0, 1.0], [0.2, 0.0]])
    axes = Axes(torch.zeros(3), covariance, weights, torch.ones(2), torch.zeros(0, 3), {})
    steps = locked_steps(axes, [0, 1])
    assert torch.allclose(steps @ weights, torch.eye(2), atol=1e-3)
    inverse = torch.linalg.inv(covariance)
    free = torch.linalg.svd(weights.T)[2][2]  # changes neither score
    for step in steps:
        cost = step @ inverse @ step
        for other in (step + 0.1 * free, step - 0.1 * free):
            assert other @ inverse @ other > cost


@pytest.mark.parametrize("differentiable", [False, True])
def test_a_path_meets_what_is_asked_and_holds_its_lock_where_a_straight_line_leaks(differentiable):
    space, codes, axes = _bent(differentiable)
    step, straight, off = 2 * locked_steps(axes, [0, 1])[0] * axes.scale[0], [], []
    for start in look(space, space, codes[codes[:, 0] < 0][:12]):  # far above, no step moves one score alone
        found = edit(space, space, axes, start, {0: float(start.scores[0] + 2 * axes.scale[0])}, [1])
        assert torch.equal(found.scores, space.scores(found.code[None])[0])
        off.append((found.scores - start.scores) / axes.scale)
        straight.append((space.scores((start.code + step)[None])[0] - start.scores) / axes.scale)
    wanted = torch.tensor([2.0, 0.0])
    (missed, leaked), (_, before) = ((torch.stack(a) - wanted).abs().mean(0).tolist() for a in (off, straight))
    assert missed < 0.05
    assert leaked < 0.25 * before


def test_two_attributes_that_are_moved_are_both_met():
    space, codes, axes = _bent()
    [start] = look(space, space, codes[:1])
    wanted = {i: float(start.scores[i] + axes.scale[i]) for i in (0, 1)}
    found = edit(space, space, axes, start, wanted)
    assert all(abs(float(found.scores[i]) - value) < 0.3 * axes.scale[i] for i, value in wanted.items())


def test_a_path_ends_where_the_data_do_and_its_nodes_grow():
    space, _, axes = _bent(low=-1.5, high=1.0)
    [start] = look(space, space, torch.zeros(1, 3))
    path = AxisPath(space, space, axes, start, 0, [1])
    assert abs(float(path.at(5.0).scores[0]) - 1.0) < 0.2  # what lies beyond is not reached
    while path.extend(-1):
        pass
    scores = [float(node.scores[0]) for node in path.nodes]
    assert scores == sorted(scores)
    assert abs(scores[0] + 1.5) < 0.2
    assert not path.extend(1)
    assert path.at(5.0) is path.nodes[-1]
    assert abs(float(path.at(-0.7).scores[0]) + 0.7) < 0.05


def test_the_range_of_a_slider_is_that_of_the_data():
    axes = Axes(*[torch.zeros(0)] * 5, {"names": ["age", "x", "yes"], "controls": ["age", "yes"]})
    values = torch.stack([torch.arange(101.0), torch.zeros(101), torch.arange(101) % 2], 1)
    assert ranges(axes, values) == {"age": {"low": 1.0, "high": 99.0}, "yes": {"low": 0.02, "high": 0.98}}
    assert correlations(torch.tensor([[0.0, 1], [1, 0], [2, -1]]))[0] == pytest.approx([1.0, -1.0])


def test_the_command_keeps_axes_by_hash_with_what_they_do(axes_run, tmp_path):
    [path] = (axes_run / "axes").glob("*.json")
    about = json.loads(path.read_text())
    count, steered = len(about["names"]), len(about["controls"])
    assert about["hash"] == path.stem
    assert about["unnamed"] == ["weights 1", "weights 2", "variance 1", "variance 2", "bright"]
    assert set(about["leakage"]) == {"off", "linear", "closed"}
    assert all(len(row) == count for row in about["leakage"]["closed"]["change"])
    assert len(about["leakage"]["off"]["identity"]) == steered
    assert set(about["ranges"]) == set(about["controls"])
    assert set(about["reader"]) == set(about["names"])
    assert path.with_suffix(".png").is_file()

    module, data = load_run(axes_run)
    space, reader = CodeSpace(module), attribute_reader(data)
    axes = load_axes(axes_run / "axes", axes_hash(space, reader))
    assert axes.weights.shape == (64, count)
    assert axes.unnamed.shape == (5, 64)
    # Truncation and seeds: the same code each time, nearer to the mean with less truncation.
    near, far = (space.draw(1, 3, share)[0] for share in (0.3, 1.0))
    assert torch.allclose(near - module.style_mean, 0.3 * (far - module.style_mean), atol=1e-5)
    assert isinstance(module, StyleModule)
    with pytest.raises(UserError, match="has no axes of this checkpoint and reader"):
        load_axes(axes_run / "axes", "0" * 16)
    (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / path.name).with_suffix(".safetensors").write_bytes(b"no")
    with pytest.raises(UserError, match="cannot be read: want lightning-gen axes again"):
        load_axes(tmp_path, path.stem)


def test_what_a_user_gets_wrong_is_said_before_a_reader_learns(axes_run, capsys, monkeypatch):
    monkeypatch.setattr("lightning_gen.tasks.axes.attribute_reader", lambda data: pytest.fail("a reader learns"))
    for words in (["--attributes", "smile"], ["--examples", "a", "1", "x"]):
        assert main(["axes", str(axes_run), *words]) == 2
        assert f"{words[0]} " in capsys.readouterr().err


def test_what_a_user_gets_wrong_is_one_line(axes_run, gan, cgan, capsys):
    for words, expected in (
        ([str(axes_run), "--attributes", "smile"], "--attributes smile given: want some of"),
        ([str(axes_run), "--examples", "a", "x", "1"], "--examples has x: want seeds of pictures"),
        ([str(gan)], "data has no attributes"),
        ([str(cgan)], "GAN is conditioned on label: want one on classes, with --label"),
        ([str(axes_run), "--label", "1"], "--label 1 given: this StyleGAN2 is not conditioned on labels"),
    ):
        assert main(["axes", *words, "--draws", "64"]) == 2
        assert expected in capsys.readouterr().err


def test_leaks_of_a_run_whose_augmentation_is_given_a_probability(axes_run, gan, capsys):
    few = ["--images", "64", "--steps", "3"]
    assert main(["leaks", str(axes_run), *few, "--probability", "0.5"]) == 0
    assert (
        capsys.readouterr().out.splitlines()[-1].startswith("cannot tell: ")
    )  # of 64 images and a network at its start
    for run, value, words in ((axes_run, "2", "want a number, 0 to 1"), (gan, "0.5", "augmentations have a fixed one")):
        assert main(["leaks", str(run), *few, "--probability", value]) == 2
        assert words in capsys.readouterr().err


def test_spaces_of_a_flow_and_of_one_class_of_a_conditional_model(shapes, fit):
    """Their codes are drawn, and give pictures of the one class; pictures of a flow have their code."""
    space = CodeSpace(load_run(shapes, "last")[0], label=3)
    codes = space.draw(2, 0)
    with torch.no_grad():
        assert torch.equal(space.images(codes), space.module.generate(codes, {"label": torch.tensor([3, 3])}))
    assert space.entrance(codes.shape[1]).shape[1] == codes.shape[1]
    words = ["-c", "configs/data/shapes16.yaml", "--data.init_args.images", "64", "--run.images", "32"]
    flow = CodeSpace(load_run(fit("flow/realnvp", *words), "last")[0])
    codes = flow.draw(2, 0, 0.7)
    assert codes.shape == (2, 768)
    image = flow.images(codes)
    found = find_code(flow, image[0], lambda: None)
    assert found.residual < 0.02
