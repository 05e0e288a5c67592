"""What all processes agree on, and how rarely they talk about it."""

from types import SimpleNamespace

import pytest
import torch

from lightning_gen.training.preemption import Agreement


class Clock:
    def __init__(self, pace):
        self.pace, self.now = pace, 0.0

    def monotonic(self):
        return self.now


@pytest.mark.parametrize(("pace", "most"), [(0.001, 1000), (0.3, 4), (5.0, 1)])
def test_processes_talk_about_once_a_second_and_notice_a_signal_soon(pace, most, monkeypatch):
    clock, messages = Clock(pace), []
    monkeypatch.setattr("lightning_gen.training.preemption.time", clock)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda value, how: messages.append(value.tolist()))
    trainer = SimpleNamespace(world_size=2, strategy=SimpleNamespace(root_device=torch.device("cpu")))
    agreement, sent, noticed = Agreement(), 3000, None
    for batch in range(8000):
        clock.now += pace
        if agreement(trainer, 15 if batch >= sent else 0, False)[0]:
            noticed = batch
            break
    assert noticed is not None
    assert noticed - sent <= most
    assert len(messages) <= 3 + noticed * min(1.0, max(pace, 0.001) * 1.5)


def test_one_process_answers_at_once():
    trainer = SimpleNamespace(world_size=1)
    assert Agreement()(trainer, 15, True) == (15, True)
    assert Agreement()(trainer, 0, False) == (0, False)
