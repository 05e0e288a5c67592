"""The W&B template has the panels of the dashboard, over images seen."""

import json

import pytest

from lightning_gen.runs.workspace import main


def test_the_template_is_plain_json_with_every_panel(capsys):
    pytest.importorskip("wandb_workspaces", reason="pip install lightning-gen[workspace]")
    main(["--entity", "nobody", "--project", "p"])
    text = capsys.readouterr().out
    json.loads(text)
    for words in ("images_seen", "eval/bits_per_dim", "eval/kid_.*", "coverage", "samples", "Differences"):
        assert words in text
