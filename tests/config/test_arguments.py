"""A file that cannot be written, or not as what its name says, is refused before anything is computed."""

import pytest

from lightning_gen.api.images import Images
from lightning_gen.config.cli import main
from lightning_gen.errors import UserError

#: command and arguments -> the endings that its file may have
WRITERS = {
    "sample RUN --out": (".png",),
    "sample RUN --interpolate 2 --gif --out": (".gif",),
    "reconstruct RUN --out": (".png",),
    "denoise RUN --out": (".png",),
    "complete RUN --out": (".png",),
    "cluster RUN --out": (".png",),
    "density RUN --out": (".png",),
    "directions RUN --out": (".png",),
    "encode RUN --out": (".csv",),
    "outliers RUN --out": (".csv",),
    "decompress RUN FILE --out": (".npy",),
    "compare RUN --html": (".html", ".htm"),
}


@pytest.mark.parametrize("words", WRITERS)
def test_a_name_with_another_ending_is_refused_before_the_run_is_opened(words, tmp_path, capsys):
    for name in ("x.jpg", "x", "x.png.txt"):
        assert main([*words.split(), str(tmp_path / name)]) == 2
        said = capsys.readouterr().err
        assert "given: want a name that ends in" in said
        assert all(ending in said for ending in WRITERS[words])
        assert said.count("\n") == 1
    for ending in WRITERS[words]:
        assert main([*words.split(), str(tmp_path / f"x{ending.upper()}")]) == 2
        assert "exist" in (said := capsys.readouterr().err) or "RUN" in said  # the name is right, there is no such run
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("words", [*WRITERS, "compress RUN --out"])
def test_a_file_without_a_place_is_refused_before_the_run_is_opened(words, tmp_path, capsys):
    ending = WRITERS.get(words, (".png",))[0]
    (tmp_path / f"folder{ending}").mkdir()
    (tmp_path / "file").touch()
    for name, why in ((f"folder{ending}", "is a folder"), (f"file/x{ending}", "is no folder that can be written to")):
        assert main([*words.split(), str(tmp_path / name)]) == 2
        assert why in capsys.readouterr().err


def test_images_of_the_notebook_are_saved_as_png_alone(tmp_path):
    import torch

    with pytest.raises(UserError, match=r"x\.jpg given: want a name that ends in \.png"):
        Images(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), 2).save(tmp_path / "x.jpg")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["evalute", "RUN"], "unknown command evalute: want evaluate?"),
        (["evaluate", "RUN", "--evaluation.samples", "9"], "--evaluation.samples 9: want --samples?; see"),
        (["compare", "RUN", "--htm", "x"], "unrecognized arguments: --htm x: want --html?; see"),
        (["compare", "RUN", "--wide"], "unrecognized arguments: --wide; see"),
        (["evaluate", "nowhere"], "run nowhere does not exist: want the folder of a finished run"),
    ],
)
def test_what_was_meant_is_said(words, said, capsys):
    assert main(words) == 2
    assert said in capsys.readouterr().err


def test_a_folder_of_runs_is_told_from_a_run(tmp_path, capsys):
    (tmp_path / "one" / "checkpoints").mkdir(parents=True)
    (tmp_path / "one" / "checkpoints" / "last.ckpt").touch()
    assert main(["sample", str(tmp_path)]) == 2
    assert f"want the folder of one run, such as {tmp_path / 'one'}" in capsys.readouterr().err
    (tmp_path / "one" / "checkpoints" / "last.ckpt").unlink()
    (tmp_path / "one" / "config.yaml").touch()  # it has just begun
    assert main(["sample", str(tmp_path / "one")]) == 2
    assert "has no checkpoints/last.ckpt yet: want one that has saved its first" in capsys.readouterr().err
    assert main(["fit"]) == 2
    assert "lightning-gen: configuration: lacks data, model: want a value for each" in capsys.readouterr().err
