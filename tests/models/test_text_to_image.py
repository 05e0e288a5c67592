"""Models of sentences: the stages resume bit for bit, wrong pairs and the penalty are losses of their own, processes
agree, and a sentence makes a picture from the checkpoint alone."""

import subprocess
import sys

import pytest
import torch
from PIL import Image

import lightning_gen as lg
from lightning_gen.config.cli import main
from lightning_gen.config.loading import load_module
from lightning_gen.errors import UserError
from lightning_gen.nets.text.encoder import TextEncoder
from lightning_gen.reading import read_rows
from lightning_gen.training.fit import build

CPU = ["--trainer.accelerator", "cpu", "--evaluation.samples", "0", "--trainer.log_every_n_steps", "1"]
SMALL = ["--data.init_args.size", "8", "--data.init_args.images", "64", "--data.init_args.batch_size", "8"]
STAGES = ["--model.init_args.first.init_args.width", "4", "--model.init_args.first_images", "32"]


def _fit(config, root, name, images, *more):
    run = ["--run.root", str(root), "--run.name", name, "--run.images", str(images)]
    return main(["fit", "-c", f"configs/text/{config}.yaml", *run, *CPU, *SMALL, *more])


def _checkpoint(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """StackGAN whole, until the end of Stage I, and that one gone on with."""
    root = tmp_path_factory.mktemp("runs")
    assert _fit("stackgan", root, "whole", 64, *STAGES) == 0
    assert _fit("stackgan", root, "parts", 32, *STAGES) == 0
    assert _fit("stackgan", root, "sketches", 32, *STAGES) == 0
    assert _fit("stackgan", root, "parts", 64, *STAGES, "--run.resume", "changed") == 0
    return root


def test_resume_between_the_stages_is_bit_equal_and_stage_one_stays_as_it_is(runs):
    whole, parts, sketches = (_checkpoint(runs / name) for name in ("whole", "parts", "sketches"))
    for room in ("state_dict", "ema"):
        assert all(torch.equal(whole[room][key], parts[room][key]) for key in whole[room])
    assert str(whole["optimizer_states"]) == str(parts["optimizer_states"])
    before, after = sketches["state_dict"], whole["state_dict"]
    moved = {key for key in after if not torch.equal(before[key], after[key])}
    assert moved
    assert all(".second" in key or "second." in key for key in moved), sorted(moved)[:5]
    names = {key for row in read_rows(runs / "whole" / "metrics.jsonl") for key in row}
    assert {"train/d/conditional", "train/d/mismatched", "train/g/conditional", "train/g/condition"} <= names
    assert {"train/d/contrast", "train/g/contrast"} <= names


def test_samples_are_sketches_until_stage_two_begins(runs):
    sketches, whole = (load_module(runs / name / "checkpoints" / "last.ckpt") for name in ("sketches", "whole"))
    assert sketches.images_seen == 32
    with torch.no_grad():
        small, large = (m.sample(4, generator=torch.Generator().manual_seed(0)) for m in (sketches, whole))
    assert torch.equal(small[..., ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3), small)
    assert not torch.equal(large[..., ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3), large)


def test_a_sentence_makes_a_row_of_pictures_and_unknown_words_are_named(runs, capsys):
    run, out = runs / "whole", runs / "text.png"
    texts = ["a small red star at the top on a dark background", "", "word " * 500, "красная звезда"]
    assert main(["sample", str(run), "--text", *texts, "--n", "3", "--out", str(out)]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if line]
    assert [line.rpartition(": ")[2] for line in said] == ["word", "красная, звезда"]
    picture = Image.open(out)
    assert picture.size == (176 + 3 * 66 + 2, 4 * 66 + 2)
    pixels = torch.frombuffer(bytearray(picture.crop((176, 0, *picture.size)).tobytes()), dtype=torch.uint8)
    rows = pixels.view(picture.size[1], -1)[:264].unflatten(0, (4, 66))
    assert torch.equal(rows[1], rows[2])  # no word is known in either: the same noises make the same pictures
    again = runs / "again.png"
    assert main(["sample", str(run), "--text", texts[0], "--n", "3", "--out", str(again)]) == 0
    assert Image.open(again).crop((176, 0, 376, 66)).tobytes() == picture.crop((176, 0, 376, 66)).tobytes()
    made = lg.load(run).sample(3, text=texts)  # from Python: the same pictures
    shown = torch.frombuffer(bytearray(picture.crop((176, 0, *picture.size)).tobytes()), dtype=torch.uint8)
    assert torch.equal(made.grid(), shown.view(made.grid().shape))
    assert torch.equal(lg.load(run).sample(text=texts[0]).tensor[:3], made.tensor[:3])
    with pytest.raises(UserError, match="text is empty"):
        lg.load(run).sample(text=[])
    with pytest.raises(UserError, match="text is 5: want a sentence, or a list of them"):
        lg.load(run).sample(text=5)
    with pytest.raises(UserError, match="text and label given: want one"):
        lg.load(run).sample(text=texts, label=1)
    ways = ["--interpolate", "2", "--steps", "5", "--out", str(out)]
    assert main(["sample", str(run), "--text", texts[0], "a large blue disc", *ways]) == 0
    assert Image.open(out).size == (176 + 5 * 66 + 2, 2 * 66 + 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--text", "a", "--label", "1"], "not conditioned on labels"),
        (["--text", "a", "--seeds", "1"], "--text and --seeds given: want one"),
        (["--text", "a", "--interpolate", "2"], "--interpolate with 1 sentences given: want two"),
        (["--text", "a" * 100_001], "a sentence of 100001 characters"),
    ],
)
def test_what_sample_cannot_do_is_one_line(arguments, words, runs, capsys):
    assert main(["sample", str(runs / "whole"), *arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(lines) == 1
    assert words in lines[0]


def test_losses_are_those_of_the_parts():
    """Without wrong pairs, contrast and penalty their losses are gone; colour consistency is left out at weight 0."""
    for config, expected in (
        ("one_stage", {"conditional", "mismatched", "contrast", "penalty"}),
        ("stackgan_tree", {"conditional", "mismatched", "contrast", "unconditional"}),
    ):
        model, batch = _built(config)
        assert set(model.discriminator_losses(batch)) == expected
        none = ["--model.init_args.wrong_share", "0", "--model.init_args.penalty", "null"]
        plain, batch = _built(config, *none, "--model.init_args.contrast", "null")
        assert set(plain.discriminator_losses(batch)) == expected - {"mismatched", "contrast", "penalty"}
        assert set(plain.generator_losses(batch)) == set(model.generator_losses(batch)) - {"contrast"}
    losses = model.generator_losses(batch)
    assert set(losses) == {"conditional", "unconditional", "contrast", "condition", "colour"}
    assert model.generator_weights["colour"] == 0
    with pytest.raises(UserError, match="wrong_share is 1"):
        _built("one_stage", "--model.init_args.wrong_share", "1")


def test_discriminators_read_captions_alone_while_the_generator_waits():
    for config, stage in (("stackgan_tree", 0), ("stackgan", 0), ("stackgan", 50000)):
        model, batch = _built(config, "--model.init_args.contrast.init_args.alone", "16")
        moves = []
        for seen in (stage, stage + 16):
            model.images_seen = seen
            moves.append((model._generator_moves(model.phase), set(model.discriminator_losses(batch))))
        assert moves[0] == (0, {"contrast"})
        assert moves[1][0] == 1
        assert {"conditional", "mismatched", "contrast"} <= moves[1][1]


def _built(config, *more):
    cli = build(["-c", f"configs/text/{config}.yaml", *CPU, *SMALL, *more])
    cli.model.trainer = cli.trainer
    for part in cli.model.modules():
        if isinstance(part, TextEncoder):
            part.learn([{"text": list(cli.datamodule.captions("train"))}])
    return cli.model, next(cli.datamodule.batches("train", 8))


@pytest.mark.exhaustive
def test_two_processes_agree(tmp_path):
    """They share batches and average gradients: both end with the same weights, in Stage II too."""
    script = """
import sys, os, torch
from lightning_gen.training.callbacks.record import ImageBudget
from lightning_gen.training.fit import build
cli = build(sys.argv[2:] + ["--run.root", sys.argv[1], "--trainer.devices", "2", "--trainer.strategy", "ddp"])
cli.trainer.callbacks.append(ImageBudget(64))
cli.trainer.fit(cli.model, datamodule=cli.datamodule)
assert cli.model.in_second
torch.save(cli.model.state_dict(), f"{sys.argv[1]}.{os.environ['RANK']}")
"""
    path = tmp_path / "train.py"
    path.write_text(script)
    two = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(path), str(tmp_path / "w")]
    words = ["-c", "configs/text/stackgan.yaml", *CPU, *SMALL, *STAGES, "--run.health_every", "0"]
    done = subprocess.run([sys.executable, *two, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (torch.load(tmp_path / f"w.{rank}", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.exhaustive
def test_towers_are_encoder_and_judge_and_are_not_needed_afterwards(tmp_path, capsys):
    few = ["--data.init_args.images", "64", "--data.init_args.batch_size", "8", "--data.init_args.size", "8"]
    towers, text = tmp_path / "towers", "lightning_gen.nets.text.towers.Sentences"
    place = ["--run.root", str(tmp_path), "--run.images", "16", "--run.name"]
    command = ["fit", "-c", "configs/text/two_towers.yaml", *place, "towers", *few, "--trainer.accelerator", "cpu"]
    assert main([*command, "--evaluation.samples", "64", "--evaluation.judge", "null"]) == 0
    (row,) = read_rows(towers / "evaluations.jsonl")
    assert set(row["metrics"]) == {"r_precision_real"}
    encoder = f"{{class_path: {text}, init_args: {{run: {towers}, words: 64}}}}"
    measure = ["--evaluation.towers", str(towers), "--evaluation.samples", "64", "--evaluation.judge", "null"]
    measure += ["--evaluation.extractor", "lightning_gen.metrics.extractors.PCA", "--evaluation.distances", "[]"]
    command = ["fit", "-c", "configs/text/stackgan_tree.yaml", *place, "tree", *few, "--trainer.accelerator", "cpu"]
    command += ["--model.init_args.text", encoder]
    assert main([*command, *measure]) == 0, capsys.readouterr().err
    (row,) = read_rows(tmp_path / "tree" / "evaluations.jsonl")
    (found,) = row["metrics"].values()
    assert found["identity"]["captions"] <= 64
    assert {"ceiling", "floor"} <= found.keys()
    capsys.readouterr()
    wrong = ["--run.name", "wrong", "--model.init_args.text.init_args.sha256", "00000000"]
    assert main([*command, *wrong, "--evaluation.samples", "0"]) == 2
    assert "text.sha256 is 00000000, the checkpoint of" in capsys.readouterr().err
    towers.rename(tmp_path / "gone")
    assert main(["sample", str(tmp_path / "tree"), "--text", "a red star", "--n", "2"]) == 0
