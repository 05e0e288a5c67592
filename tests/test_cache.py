"""A cached file counts only where it is what was written under this very name."""

import pytest
import torch
from safetensors.torch import save

from lightning_gen.cache import cache_path, cached


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTNING_GEN_CACHE", str(tmp_path))
    return cache_path("extractors", {"data": "a"})


def make(value):
    return lambda: {"weight": torch.full((3,), value)}


def test_content_is_made_once(place):
    assert cached(place, make(1.0))["weight"].tolist() == [1.0] * 3
    assert cached(place, make(2.0))["weight"].tolist() == [1.0] * 3


def test_the_file_of_another_name_is_made_anew(place):
    other = cache_path("extractors", {"data": "b"})
    cached(other, make(5.0))
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(other.read_bytes())
    assert cached(place, make(1.0))["weight"].tolist() == [1.0] * 3
    assert cached(place, make(2.0))["weight"].tolist() == [1.0] * 3


@pytest.mark.parametrize("about", [None, {"digest": "0" * 64}])
def test_other_tensors_under_the_name_are_made_anew(place, about):
    cached(place, make(1.0))
    place.write_bytes(save({"weight": torch.zeros(3)}, about))
    assert cached(place, make(1.0))["weight"].tolist() == [1.0] * 3
