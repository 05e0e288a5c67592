"""A wrong configuration ends in one line that names the argument, what it got and what it wants; a test per message."""

import pytest

from lightning_gen.config.messages import flat
from lightning_gen.errors import UserError
from lightning_gen.training.fit import build

VAE = "lightning_gen.models.vae.VAE"
CASES = {
    "typo in a key": (["--model.init_args.latent_dimm", "3"], f"model.init_args.latent_dimm is no argument of {VAE}"),
    "typo below": (["--model.init_args.optimizer.init_args.lrr", "1"], "lrr is no argument of torch.optim.Adam"),
    "typo in a group": (["--run.imagess", "3"], "run.imagess is no argument: want images?"),
    "typo in an inherited one": (
        ["--data.class_path", "lightning_gen.data.pairs.SideBySide", "--data.init_args.siez", "8"],
        "siez is no argument of lightning_gen.data.pairs.SideBySide: want size?",
    ),
    "typo in the trainer": (["--trainer.precison", "16"], "trainer.precison is no argument: want precision?"),
    "wrong type": (
        ["--model.init_args.latent_dim", "many"],
        "model.init_args.latent_dim is 'many': want a whole number",
    ),
    "wrong type below": (["--model.init_args.optimizer.init_args.lr", "fast"], "init_args.lr is 'fast': want a number"),
    "no such class": (["--model.class_path", f"{VAE}E"], f"model.class_path is {VAE}E, which is no class of"),
    "no class": (["--data.class_path", "Nope"], "data.class_path is 'Nope': want the path of a class"),
    "stray word": (["word"], "word stands alone: want --key value"),
    "no file": (["-c", "no/such.yaml"], "config no/such.yaml does not exist: want a file"),
    "a folder": (["-c", "configs"], "config configs is no ordinary file: want a file"),
    "out of range": (["--run.images", "0"], "run.images is 0: want 1 or more"),
    "linked": (["--model.init_args.spec.channels", "3"], "model.init_args.spec"),
}


@pytest.mark.parametrize("name", CASES)
def test_wrong_configuration_is_one_line(name):
    arguments, words = CASES[name]
    with pytest.raises(UserError) as caught:
        build(["-c", "configs/vae/vae.yaml", *arguments])
    message = str(caught.value)
    assert words in message
    assert "\n" not in message
    assert len(message) < 300


def test_what_is_missing_is_named(tmp_path):
    config = tmp_path / "x.yaml"
    config.write_text(f"model: {{class_path: {VAE}}}\n")
    with pytest.raises(UserError, match="model lacks encoder, decoder, posterior, optimizer"):
        build(["-c", str(config)])


def test_nested_arguments_get_the_names_that_users_write():
    assert flat({"a": {"b": {"c": 1}, "d": [{"e": 2}]}, "f": {}}) == {"a.b.c": 1, "a.d": [{"e": 2}], "f": {}}
