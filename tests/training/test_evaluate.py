"""The number that sweeps name: the first distance, without the features that stand in its full name."""

from types import SimpleNamespace

from torch import nn

from lightning_gen.data.digits import Digits
from lightning_gen.training.callbacks.evaluate import Evaluate


def metric(value, **identity):
    return {"value": value, "error": None, "better": "lower", "identity": identity}


def test_the_first_distance_has_a_short_name_as_well(tmp_path):
    measured = {
        "bits_per_dim": metric(2.0, bound="elbo"),
        "fd_classifier-f19adbd2": metric(0.5, extractor="classifier"),
        "kid_classifier-f19adbd2": metric(0.1, extractor="classifier"),
    }
    logged = {}
    logger = SimpleNamespace(log_metrics=lambda values, step: logged.update(values))
    evaluation = SimpleNamespace(measure=lambda module, data: measured, split="val")
    module = nn.Module()
    module.images_seen, module.steps, module.ema_network = 64, 1, nn.Identity()
    trainer = SimpleNamespace(
        datamodule=Digits(), callbacks=[], callback_metrics={}, is_global_zero=True, loggers=[logger], should_stop=False
    )
    Evaluate(evaluation, tmp_path)._measure(trainer, module)
    assert logged == {
        "eval/bits_per_dim": 2.0,
        "eval/fd_classifier-f19adbd2": 0.5,
        "eval/kid_classifier-f19adbd2": 0.1,
        "eval/fd": 0.5,
    }
