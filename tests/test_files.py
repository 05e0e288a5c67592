"""Places that cannot be written to are refused before anything is computed."""

import pytest

from lightning_gen.config.cli import main
from lightning_gen.errors import UserError
from lightning_gen.files import check_folder


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    check_folder("--out", tmp_path)
    check_folder("--out", tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^--out .*file is a file: want a folder$"):
        check_folder("--out", tmp_path / "file")
    with pytest.raises(UserError, match="file is no folder that can be written to, want another place"):
        check_folder("--out", tmp_path / "file" / "sub")


@pytest.mark.parametrize("command", [["export", "RUN"], ["latent", "RUN"], ["pack", "configs/data/digits.yaml"]])
def test_commands_look_at_their_folder_first(command, tmp_path, capsys):
    """Here the run is not there either: whatever came first would be told."""
    (tmp_path / "file").write_text("")
    words = [word.replace("RUN", str(tmp_path / "run")) for word in command]
    assert main([*words, "--out", str(tmp_path / "file" / "sub")]) == 2
    assert capsys.readouterr().err.startswith("lightning-gen: --out ")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
