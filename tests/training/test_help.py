"""The help of fit: everything the parser knows, without importing what the parser needs."""

import dataclasses
import inspect
import subprocess
import sys

from lightning.pytorch import Trainer

from lightning_gen.evaluation.protocol import Evaluation
from lightning_gen.training.help import help_text
from lightning_gen.training.options import Run


def test_it_names_every_argument_with_its_text_and_default():
    text = help_text()
    wanted = {
        "run": [field.name for field in dataclasses.fields(Run)],
        "evaluation": list(inspect.signature(Evaluation).parameters),
        "trainer": list(inspect.signature(Trainer).parameters),
    }
    for group, names in wanted.items():
        assert [name for name in names if f"--{group}.{name}\n" not in text] == []
    assert "training images, all processes together. (type: int, default: 20000)" in text
    assert "(type: Optional[int], default: -1)" in text  # max_epochs, as it is here
    assert "VAE" in text
    assert "Digits" in text


def test_it_imports_nothing_heavy():
    code = "import sys; from lightning_gen.config.cli import main; main(['fit', '--help']); print(sorted(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"torch", "lightning", "numpy", "jsonargparse"} & set(
        out.rpartition("[")[2].rstrip("]\n").replace("'", "").split(", ")
    )
