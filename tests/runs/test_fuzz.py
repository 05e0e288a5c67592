"""Whatever a run folder holds, it is compared, reported, opened and gone on from, or refused in one plain line.

``FUZZ_RUNS=3000 pytest tests/runs/test_fuzz.py`` tries more; what it last found stands in docs/extending.md.
"""

import contextlib
import io
import os
import random
import re
from pathlib import Path

import pytest
import torch
import yaml

from lightning_gen.config.cli import main
from lightning_gen.config.loading import load_fitting, load_run, load_section
from lightning_gen.errors import UserError
from lightning_gen.evaluation.protocol import Evaluation
from lightning_gen.files import write_png
from lightning_gen.runs.pictures import read_picture
from lightning_gen.runs.read import read_run
from lightning_gen.training.fit import build
from lightning_gen.training.resume import rewind, start
from tests.config.hostile import watched
from tests.config.test_fuzz import limited

from .mutation import Folder

COUNT = int(os.environ.get("FUZZ_RUNS", "200"))
PARTS = 2
MLP = "lightning_gen.nets.vae.mlp.MLP"
WORDS = [
    *("fit", "-c", "configs/vae/vae.yaml", "--run.name", "r", "--run.images", "64", "--trainer.accelerator", "cpu"),
    *("--model.init_args.encoder", f'{{"class_path": "{MLP}Encoder", "init_args": {{"features": 4}}}}'),
    *("--model.init_args.decoder", f'{{"class_path": "{MLP}Decoder", "init_args": {{"width": 4}}}}'),
    *("--trainer.log_every_n_steps", "1", "--data.init_args.batch_size", "16", "--evaluation.samples", "32"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("run")
    assert main([*WORDS, "--run.root", str(root)]) == 0
    assert main(["evaluate", str(root / "r"), "--split", "val"]) == 0
    return root / "r"


@pytest.fixture(scope="module")
def cli(run):
    return build([*WORDS[1:], "--run.root", str(run.parent)])


def plainly(action, what):
    """What is wrong with how an action ends: nothing, where it ends by itself or in one line of ours."""
    said = io.StringIO()
    try:
        with limited(what), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            action()
    except UserError as error:
        said.write(str(error))
        if "\n" in str(error) or len(str(error)) > 1500:
            return [f"{what}: {error}"[:400]]
    except Exception as error:
        return [f"{what}: {type(error).__name__}: {error}"[:400]]
    return [f"{what} prints what a terminal obeys"] if re.search("[\x00-\x08\x0e-\x1f\x7f]", said.getvalue()) else []


def compared(folder, out, number):
    """Read a folder as compare does, in one of its forms."""
    form = (["--json"], ["--csv"], ["--markdown"], [], ["--html", str(out / "x.html")])[number % 5]

    def act():
        status = main(["compare", str(folder), *form])
        assert status in (0, 2)
        if (out / "x.html").exists():
            text = (out / "x.html").read_text()
            assert "127.0.0.1" not in text, "a file outside the run is shown"
            (out / "x.html").unlink()

    return act


def opened(folder):
    """Open a folder as sample and evaluate do, and as a notebook does."""
    module, _ = load_run(folder)
    load_fitting(folder, module)
    load_section(folder / "config.yaml", "evaluation", Evaluation, {})
    assert isinstance(module.images_seen, int)


def gone_on(folder, cli, config, resume):
    """Check and rewind a folder as a resumed training does."""
    begin = start(folder, config, resume, cli.trainer, cli.model)
    if not begin.new:
        rewind(folder, config, begin)


@pytest.mark.parametrize("part", range(PARTS))
def test_a_mutated_run_folder_is_read_or_refused_in_one_line(part, run, cli, tmp_path):
    folder, wrong = Folder(run), []
    config = (run / "config.yaml").read_text()
    same = yaml.safe_dump(yaml.safe_load(config), sort_keys=False)
    try:
        for number in range(part, COUNT, PARTS):
            what = f"run folder {number}: {folder.change(random.Random(number))}"
            before = _listed(run)
            with watched() as seen:
                wrong += plainly(compared(run, tmp_path, number), f"{what}: compare")
                wrong += plainly(lambda: opened(run), f"{what}: open")
            acts = [act for act in seen if not re.fullmatch(r"writes \d+|writes .*x\.html.*", act)]
            wrong += [f"{what}: {acts}"] if acts else []
            wrong += [f"{what}: the folder has changed"] if _listed(run) != before else []
            resume = ("same", "changed")[number % 2]
            wrong += plainly(lambda r=resume: gone_on(run, cli, same, r), f"{what}: resume")
            folder.restore()
    finally:
        folder.restore()
    assert wrong == []


def _listed(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.lstat().st_mtime_ns) for path in folder.rglob("*"))


def test_a_mutated_picture_is_shown_or_left_out(run, tmp_path):
    path, record, wrong, shown = run / "samples" / "0000000064.png", read_run(run), [], 0
    pixels = torch.randint(0, 256, (24, 30, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    write_png(tmp_path / "x.png", pixels.numpy())
    whole = (tmp_path / "x.png").read_bytes()
    kept = path.read_bytes()
    for number in range(COUNT):
        source = random.Random(number)
        content = bytearray(whole[: source.randrange(len(whole))] if source.random() < 0.3 else whole)
        for _ in range(source.choice((0, 1, 3, 30))):
            if content:
                content[source.randrange(len(content))] = source.randrange(256)
        path.write_bytes(bytes(content))
        wrong += plainly(lambda: read_picture(record, path, 16), f"picture {number}")
        shown += read_picture(record, path, 16) is not None
    path.write_bytes(kept)
    assert wrong == []
    assert 0 < shown < COUNT
