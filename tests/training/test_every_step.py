"""What the training step of every YAML keeps: logits in 32 bits under autocast, a gradient for every parameter, no
number that changes in each step, no work on the host, so that it can be captured. Each YAML is built once."""

import pytest
import torch

from lightning_gen.contracts import AdversarialModule, LikelihoodModule
from lightning_gen.contracts.alternation import weighted_sum
from lightning_gen.training.fit import build
from tests.shipped import CONFIGS
from tests.training.capturable import host_work

SMALL = ["--trainer.accelerator", "cpu", "--evaluation.samples", "0", "--run.health_every", "0"]
SMALL += ["--data.init_args.batch_size", "4"]
#: shipped configurations whose steps stay eager, and why
EXCEPTIONS: dict[str, str] = {}


@pytest.fixture(scope="module", params=CONFIGS, ids=lambda path: path.stem)
def shipped(request):
    """The name of a YAML, its model with its trainer, and a batch of its data."""
    cli = build(["-c", str(request.param), *SMALL])
    cli.model.trainer = cli.trainer
    return request.param.stem, cli.model, next(iter(cli.datamodule.batches("train", 4)))


def test_numbers_of_a_step_change_in_the_exceptions_alone(shipped):
    name, module, _ = shipped
    constants = []
    for images in (10_000_000, 10_000_064, 10_000_128):  # when every warm-up is over
        module.images_seen = images
        constants.append(module.step_constants())
    module.images_seen = 0
    assert (len(set(constants)) > 1) == (name in EXCEPTIONS)


def test_logits_keep_their_digits(shipped):
    """In bfloat16 a difference of two logits near 100 is known to within 0.5."""
    _, module, batch = shipped
    if not isinstance(module, AdversarialModule):
        return
    with torch.autocast("cpu", torch.bfloat16):
        for loss in module.discriminator_losses(module.prepare(batch)).values():
            assert (loss if isinstance(loss, torch.Tensor) else loss()).dtype == torch.float32
    assert {str(logits.dtype) for logits in module.latest_logits.values()} == {"torch.float32"}


def test_every_parameter_gets_a_gradient(shipped):
    name, module, batch = shipped
    batch = module.prepare(batch)
    if isinstance(module, AdversarialModule):
        for module.images_seen in (0, 10**9):  # a model in stages learns with other parts in the end
            for losses in (module.generator_losses, module.discriminator_losses):
                weighted_sum(losses(batch), {})[0].backward()
    elif isinstance(module, LikelihoodModule):
        start = {key: value.clone() for key, value in module.state_dict().items()}
        for p in module.parameters():  # heads that start at zero hide their conditioner
            torch.nn.init.normal_(p, 0.0, 0.05)
        condition = {key: value for key, value in batch.items() if key != "image"}
        module.objective(batch["image"], condition).mean().backward()
        module.load_state_dict(start)
    else:
        module.batch_loss(batch).backward()
    missing = [key for key, p in module.named_parameters() if p.requires_grad and p.grad is None]
    module.images_seen = 0
    module.zero_grad()
    assert not missing, f"{name}: no gradient at {missing}"


def test_no_step_reads_from_the_device_or_makes_a_tensor_on_the_host(shipped, monkeypatch):
    _, module, batch = shipped
    module.latest_logits = {}
    assert host_work(module, batch, monkeypatch) == []
    assert not [part for part in module.modules() if hasattr(part, "host_work")]
