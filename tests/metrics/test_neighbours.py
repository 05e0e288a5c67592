"""A copied picture is found, in the numbers and on the page."""

import json

import torch

from lightning_gen.contracts import GenerativeModule
from lightning_gen.data.digits import Digits
from lightning_gen.evaluation.protocol import Evaluation
from lightning_gen.metrics.extractors import PCA, fit_pca
from lightning_gen.metrics.neighbours import nearest
from lightning_gen.tasks.common.neighbours import write_neighbours


def test_nearest_agrees_with_sorting_all_distances():
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(7, 3, generator=g), torch.randn(9, 3, generator=g)
    b[4] = a[2]
    distance, index = nearest(a, b, 3)
    wanted = (a[:, None].double() - b[None].double()).norm(dim=2).sort(1)
    assert torch.equal(index, wanted.indices[:, :3])
    assert torch.allclose(distance, wanted.values[:, :3])
    assert float(distance[2, 0]) == 0


class Copier(GenerativeModule):
    """Gives training images back, the first of each block changed in one pixel."""

    def __init__(self, data):
        super().__init__(data.spec)
        self.known = data.splits["train"]["image"]

    def sample(self, n, condition=None, temperature=1.0, generator=None):
        image = self.known[torch.randperm(len(self.known), generator=generator)[:n]].clone()
        image[0, 0, 0, 0] ^= 1
        return image


def test_copies_are_counted_and_shown(tmp_path):
    data = Digits()
    pca = fit_pca(data.splits["train"]["image"], data.spec, 32)
    assert isinstance(pca, PCA)
    evaluation = Evaluation("test", samples=100, extractor=lambda spec: pca)
    about = write_neighbours(tmp_path, Copier(data), data, evaluation)
    assert about["samples"] == 100
    assert 98 <= about["copies"] <= 100  # the changed pixels may be found elsewhere
    assert about["ratio"] < 0.01
    assert json.loads((tmp_path / "neighbours.json").read_text()) == about
    assert (tmp_path / "neighbours.png").stat().st_size > 1000
