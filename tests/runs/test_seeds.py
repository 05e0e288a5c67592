"""Error bars over seeds, reasons in words, CSV and Markdown."""

import csv
import io
import json

import pytest

from lightning_gen.config.cli import main
from lightning_gen.runs.read import read_runs
from lightning_gen.runs.reasons import reasons
from lightning_gen.runs.seeds import over_seeds
from lightning_gen.runs.tables import build_tables

from .conftest import bits, distance, evaluation


def _seeded(make_run, name, value, seed, **changes):
    folder = make_run(name, [evaluation(bits(value))], **changes)
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(f"seed_everything: {seed}\n{config}")


def test_runs_that_differ_in_seed_and_name_alone_are_one_model(make_run, tmp_path):
    for name, value, seed in (("a0", 2.0, 0), ("a1", 2.2, 1), ("a2", 2.4, 2)):
        _seeded(make_run, name, value, seed)
    _seeded(make_run, "other", 1.0, 0, latent_dim=3)
    make_run("png", [evaluation(bits(3.0))], kind="baseline")
    [table] = build_tables(read_runs([tmp_path]))
    [(bound, rows)] = over_seeds(table)
    assert bound == "exact"
    assert [(row.label, row.runs) for row in rows] == [("other", ["other"]), ("a0", ["a0", "a1", "a2"])]
    assert (rows[0].mean, rows[0].error) == (1.0, None)
    assert rows[1].mean == pytest.approx(2.2)
    assert rows[1].error == pytest.approx(0.2 / 3**0.5)


def test_one_seed_each_and_a_value_that_is_not_finite_have_no_error_bar(make_run, tmp_path):
    _seeded(make_run, "a", 2.0, 0)
    _seeded(make_run, "b", None, 1)
    [table] = build_tables(read_runs([tmp_path]))
    assert over_seeds(table) == []


def test_words_say_why_tables_are_apart(make_run, tmp_path, capsys):
    make_run("a", [evaluation(bits(2.0)), evaluation(distance(3.0))])
    make_run("b", [evaluation(bits(2.0, "elbo")), evaluation(distance(3.0, samples=50000, weights="ffffffff"))])
    lines = reasons(build_tables(read_runs([tmp_path])))
    assert lines == [
        "Frechet distance (fd): 2 tables that do not compare, for they differ in number of samples (1,000, 50,000); "
        "weights of the extractor (0a1b2c3d, ffffffff)",
        "bits/dim on test: exact, elbo are ranked apart, for a bound may be loose by an amount that nobody knows",
    ]
    assert main(["compare", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["apart"] == lines
    assert main(["compare", str(tmp_path)]) == 0
    assert "ranked apart" in capsys.readouterr().out


def test_csv_has_a_row_per_value_and_no_formulas(make_run, tmp_path, capsys):
    make_run("=1+1", [evaluation(bits(2.0) | distance(3.0))])
    make_run("b", [evaluation(bits(None))])
    assert main(["compare", str(tmp_path), "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["metric"], row["run"], row["rank"], row["value"]) for row in rows] == [
        ("bits_per_dim", "'=1+1", "1", "2.0"),
        ("bits_per_dim", "b", "", ""),
        ("fd_classifier-0a1b2c3d", "'=1+1", "1", "3.0"),
    ]
    assert json.loads(rows[0]["identity"])["images"] == 300


def test_markdown_keeps_its_tables_whole(make_run, tmp_path, capsys):
    _seeded(make_run, "a|b<c", 2.0, 0)
    _seeded(make_run, "d", 2.2, 1)
    assert main(["compare", str(tmp_path), "--markdown"]) == 0
    text = capsys.readouterr().out
    assert "| 1 | a\\|b&lt;c | last | 6,000 | 2.000 ± 0.010 |" in text
    assert "| a\\|b&lt;c | last | 2 | 2.10 ± 0.10 |" in text


def test_two_forms_at_once_are_one_plain_line(make_run, tmp_path, capsys):
    make_run("a")
    assert main(["compare", str(tmp_path), "--csv", "--json"]) == 2
    assert "not allowed with argument" in capsys.readouterr().err
