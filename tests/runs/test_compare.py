"""What is comparable is ranked, what is not stays apart."""

import json
import subprocess
import sys

import pytest

from lightning_gen.config.cli import main
from lightning_gen.runs.read import read_runs
from lightning_gen.runs.tables import build_tables
from lightning_gen.runs.words import value_words

from .conftest import bits, distance, evaluation


def ranks(table):
    """[(bound, [(label, rank, beats), ...]), ...]"""
    return [(g.bound, [(r.score.run.label, r.rank, r.beats) for r in g.rows]) for g in table.groups]


def tables_of(folder):
    return build_tables(read_runs([folder]))


def test_equal_identities_are_ranked_whatever_the_seed(make_run, tmp_path):
    make_run("a", [evaluation(bits(2.0, seed=0))])
    make_run("b", [evaluation(bits(1.5, seed=1))])
    make_run("c", [evaluation(bits(2.0, seed=2))])
    [table] = tables_of(tmp_path)
    assert ranks(table) == [("exact", [("b", 1, None), ("a", 2, None), ("c", 2, None)])]


@pytest.mark.parametrize(
    "change", [{"split": "val"}, {"fingerprint": "0"}, {"levels": 16}, {"images": 299}, {"data": "x"}, {"new": 1}]
)
def test_any_other_identity_is_a_table_of_its_own(make_run, tmp_path, change):
    make_run("a", [evaluation(bits(2.0))])
    make_run("b", [evaluation(bits(1.5, **change))])
    tables = tables_of(tmp_path)
    assert [len(t.groups[0].rows) for t in tables] == [1, 1]
    assert len({t.caption for t in tables}) == 2


def test_bounds_share_a_table_but_no_ranks(make_run, tmp_path):
    make_run("flow", [evaluation(bits(1.9, "dequantized"))])
    make_run("vae", [evaluation(bits(1.8, "elbo"))])
    make_run("pixelcnn", [evaluation(bits(2.0, "exact"))])
    [table] = tables_of(tmp_path)
    assert ranks(table) == [
        ("exact", [("pixelcnn", 1, None)]),
        ("dequantized", [("flow", 1, None)]),
        ("elbo", [("vae", 1, None)]),
    ]


def test_baselines_are_marked_and_beaten(make_run, tmp_path):
    make_run("png", [evaluation(bits(3.0, error=None))], kind="baseline")
    make_run("histogram", [evaluation(bits(2.5, error=None))], kind="baseline")
    for name, value, bound in (
        ("good", 2.0, "exact"),
        ("equal", 2.505, "exact"),
        ("bad", 2.7, "exact"),
        ("below", 2.0, "elbo"),
        ("above", 2.7, "elbo"),
    ):
        make_run(name, [evaluation(bits(value, bound))])
    [table] = tables_of(tmp_path)
    exact = [("good", 1, "yes"), ("equal", 2, "within error"), ("bad", 3, "no")]
    baselines = [("histogram", None, None), ("png", None, None)]
    # An upper bound below an exact code has beaten it; one above proves nothing.
    upper = [("below", 1, "yes"), ("above", 2, "not shown")]
    assert ranks(table) == [("exact", exact + baselines), ("elbo", upper)]


def test_a_perfect_baseline_is_nothing_to_beat(make_run, tmp_path):
    make_run("real-vs-real", [evaluation(distance(0.1))], kind="baseline")
    make_run("noise", [evaluation(distance(90.0))], kind="baseline")
    make_run("gan", [evaluation(distance(20.0))])
    [table] = tables_of(tmp_path)
    assert ranks(table) == [(None, [("gan", 1, "yes"), ("real-vs-real", None, None), ("noise", None, None)])]


def test_not_finite_is_last_and_has_no_rank(make_run, tmp_path, capsys):
    broken = bits(None, error=None)
    broken["bits_per_dim"]["not_finite"] = 7
    make_run("a", [evaluation(broken)])
    make_run("b", [evaluation(bits(9.0))])
    [table] = tables_of(tmp_path)
    assert ranks(table) == [("exact", [("b", 1, None), ("a", None, None)])]
    assert main(["compare", str(tmp_path)]) == 0
    assert "not finite" in (text := capsys.readouterr().out)
    assert "7" in text


def test_higher_can_be_better(make_run, tmp_path):
    for name, value in (("a", 0.2), ("b", 0.7)):
        entry = distance(value)["fd_classifier-0a1b2c3d"]
        make_run(name, [evaluation({"precision": entry | {"better": "higher"}})])
    [table] = tables_of(tmp_path)
    assert [row.score.run.label for row in table.groups[0].rows] == ["b", "a"]


def test_the_later_row_replaces_the_earlier(make_run, tmp_path):
    make_run("a", [evaluation(bits(9.0)), evaluation(bits(2.0)), evaluation(bits(3.0), checkpoint="best")])
    [table] = tables_of(tmp_path)
    assert [(r.score.value, r.score.checkpoint) for r in table.groups[0].rows] == [(2.0, "last"), (3.0, "best")]


def test_values_taken_during_training_give_way_to_checkpoints_measured_the_same_way(make_run, tmp_path):
    training = evaluation(bits(1.0), checkpoint="training")
    make_run("a", [training, evaluation(bits(2.0))])
    make_run("b", [training, evaluation(bits(2.0, images=10))])
    found = [[(r.score.run.label, r.score.checkpoint) for r in t.groups[0].rows] for t in tables_of(tmp_path)]
    assert sorted(found) == [[("b", "last")], [("b", "training"), ("a", "last")]]


def test_entries_that_do_not_say_what_they_measure_are_left_out(make_run, tmp_path):
    strange = [{"value": 1.0}, 3, None, {"value": 1.0, "identity": 3}, {"identity": {"split": "test"}}]
    folder = make_run("a")
    rows = [{"images_seen": 1, "checkpoint": "last", "metrics": {"bits_per_dim": entry}} for entry in strange]
    (folder / "evaluations.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert tables_of(tmp_path) == []


def test_json_is_one_object_without_nan(make_run, tmp_path, capsys):
    make_run("a", [evaluation(bits(None))])
    make_run("b")

    def refuse(word):
        raise AssertionError(word)

    assert main(["compare", "--json", str(tmp_path)]) == 0
    value = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert [run["run"] for run in value["runs"]] == ["a", "b"]
    [row] = value["tables"][0]["groups"][0]["rows"]
    assert (row["run"], row["value"], row["rank"]) == ("a", None, None)


def test_metric_and_split_choose(make_run, tmp_path, capsys):
    make_run("a", [evaluation(bits(1.0) | distance(3.0)), evaluation(bits(1.0, split="val"))])
    runs = read_runs([tmp_path])
    assert [t.metric for t in build_tables(runs, metric="fd_classifier")] == ["fd_classifier-0a1b2c3d"]
    assert [t.identity["split"] for t in build_tables(runs, "bits_per_dim")] == ["test", "val"]
    assert [t.identity["split"] for t in build_tables(runs, split="val")] == ["val"]
    assert main(["compare", str(tmp_path), "--metric", "kid"]) == 2
    assert "want one of bits_per_dim on test, bits_per_dim on val, fd_class" in capsys.readouterr().err


def test_no_runs_is_one_plain_line(tmp_path, capsys):
    assert main(["compare", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1


def test_a_name_is_never_markup(make_run, capsys):
    folder = make_run("[bold]x[red]", [evaluation(bits(1.0))])
    assert main(["compare", str(folder)]) == 0
    assert "[bold]x[red]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (1.94049, 0.0123, "1.940 ± 0.012"),
        (123.456, 4.2, "123.5 ± 4.2"),
        (12345.6, 130.0, "12,346 ± 130"),
        (2.0, None, "2.000"),
        (2.0, 0.0, "2.000"),
        (None, 1.0, "not finite"),
    ],
)
def test_digits_follow_the_error(value, error, words):
    assert value_words(value, error) == words


def test_comparing_needs_no_torch(make_run, tmp_path):
    make_run("a", [evaluation(bits(1.0))])
    code = "import sys; from lightning_gen.config import cli; cli.main(sys.argv[1:]); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, "compare", str(tmp_path)], check=True, capture_output=True)
