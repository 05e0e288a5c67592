"""Numbers of faces: recall of the groups of an attribute, and perceptual path length, each against a known case."""

import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.evaluation.groups import check_groups, group_recall, groups_of
from lightning_gen.evaluation.path_length import path_length_metrics
from lightning_gen.evaluation.protocol import Evaluation
from lightning_gen.metrics.manifold import fidelity_diversity, radii, recalled


class Data:
    attribute_names = ("age", "gender")

    def __init__(self, image, attributes):
        self.rows = {"image": image, "attributes": attributes}

    def batches(self, split, size):
        yield {key: value[:30] for key, value in self.rows.items()}
        yield {key: value[30:] for key, value in self.rows.items()}


class Flat:
    """Features are the pixels."""

    label, dims = "flat-0", 2

    def __call__(self, image):
        return image.float().flatten(1)

    def of_signed(self, x):
        return x.flatten(1)


def test_groups_are_the_values_or_quarters():
    assert groups_of(torch.tensor([1.0, 0, 1, 1])) == [(0.0, 0.0), (1.0, 1.0)]
    quarters = groups_of(torch.arange(100.0))
    assert [round(high - low) for low, high in quarters] == [24, 24, 24, 24]
    assert quarters[0][0] == 0
    assert quarters[-1][1] == 99


def test_a_group_that_the_model_leaves_out_has_no_recall():
    torch.manual_seed(0)
    gender = (torch.arange(60) % 2).float()
    image = (torch.randn(60, 2, 1, 1) * 5 + 50 + 100 * gender[:, None, None, None]).to(torch.uint8)
    data = Data(image, torch.stack([torch.arange(60.0), gender], 1))
    made = torch.randn(80, 2) * 5 + 50  # group 0 alone
    found = group_recall(data, "val", ["gender", "age"], Flat(), made, {})
    assert found["recall_gender_0_flat-0"]["value"] > 0.9
    assert found["recall_gender_1_flat-0"]["value"] == 0
    assert found["recall_gender_1_flat-0"]["identity"]["images"] == 30
    assert sum(name.startswith("recall_age_") for name in found) == 4
    with pytest.raises(UserError, match=r"evaluation.groups has smile: want some of age, gender"):
        check_groups(data, ["smile"])


def test_the_mean_of_what_is_recalled_is_the_recall():
    real, made = torch.randn(50, 3).double(), torch.randn(40, 3).double() + 1
    numbers = fidelity_diversity(real, radii(real, 5), made, 5)
    assert float(recalled(real, made, 5).double().mean()) == numbers["recall"]


def test_path_length_of_a_linear_picture(axes_run_module):
    """Of pictures that are their styles, |b - a|^2 at every place: twice the variance, and so is the unit."""
    found = path_length_metrics(axes_run_module, Flat(), 256, 0, {})["ppl_w_flat-0"]
    assert found["value"] == pytest.approx(1.0, abs=0.1)
    assert found["error"] < 0.1
    assert found["identity"]["epsilon"] == 1e-4


@pytest.fixture
def axes_run_module():
    from lightning_gen.contracts import GenerativeModule, StyleModule
    from lightning_gen.images import ImageSpec

    class Linear(GenerativeModule, StyleModule):
        latent_dim = 12
        style_mean = style_weights = torch.zeros(12)

        def sample(self, n, condition=None, temperature=1.0, generator=None): ...
        def render(self, w, generator=None): ...
        def draw_condition(self, n, generator=None): ...
        def styles(self, z, condition=None):
            return z.double()

        def paint(self, w):
            return w.view(-1, 3, 2, 2)

    return Linear(ImageSpec(3, 2, 2))


def test_a_model_without_styles_has_no_path_length(axes_run_module):
    class Other:
        def parameters(self):
            return []

        buffers = parameters

    with pytest.raises(UserError, match=r"evaluation.path_length is 8: Other has no styles, want 0"):
        Evaluation(path_length=8).check(Other())
