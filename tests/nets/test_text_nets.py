"""Networks of text to image: sizes, the code reaches every picture, and a learned discriminator does not look away."""

from functools import partial

import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.nets.gan.text.discriminator import JointDiscriminator, MatchingDiscriminator, ResidualDiscriminator
from lightning_gen.nets.gan.text.generator import resized
from lightning_gen.nets.gan.text.heads import JoinedHead, ProductHead
from lightning_gen.nets.gan.text.stages import StageOne, StageTwo
from lightning_gen.nets.gan.text.tree import ModulatedNet, TreeNet

SPECS = [ImageSpec(3, 16, 16), ImageSpec(1, 12, 20), ImageSpec(3, 32, 32)]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_generators_draw_the_sizes_they_name_in_range_and_listen_to_the_code(spec):
    torch.manual_seed(0)
    z, codes = torch.randn(4, 5), torch.randn(2, 4, 6)
    for net in (TreeNet(spec, 5, 6, width=8, branches=2), ModulatedNet(spec, 5, 6, width=4)):
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, 0.0, 0.3)  # modulation begins as the identity
        one, other = net(z, codes[0]), net(z, codes[1])
        shapes = [(4, spec.channels, spec.height // s, spec.width // s) for s in net.shrinks]
        assert [tuple(x.shape) for x in one] == shapes
        assert all(float(x.detach().abs().max()) <= 1 for x in one)
        assert all(not torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("shrink", [2, 4])
def test_stages_fit_each_other(shrink):
    small, spec = ImageSpec(3, 16 // shrink * 2, 16 // shrink * 2), ImageSpec(3, 32, 32)
    sketch = StageOne(small, 5, 6, width=8)(torch.randn(2, 5), torch.randn(2, 6))
    assert sketch.shape == (2, *small.shape)
    picture = StageTwo(spec, 6, shrink, width=8, blocks=1)(sketch, torch.randn(2, 6))
    assert picture.shape == (2, *spec.shape)
    assert resized(picture, shrink).shape == sketch.shape


@pytest.mark.parametrize("kind", [MatchingDiscriminator, JointDiscriminator, ResidualDiscriminator])
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_discriminators_answer_for_image_and_text(kind, spec):
    torch.manual_seed(0)
    net = kind(spec, 6, width=8)
    maps = net.embed(torch.randn(3, *spec.shape))
    one, other = net.match(maps, torch.randn(3, 6)), net.match(maps, torch.randn(3, 6))
    assert one.shape == (3,)
    assert not torch.equal(one, other)
    alone = net.judge(maps)
    assert (alone is not None and alone.shape == (3,)) is (kind is JointDiscriminator)


HEADS = {
    "product": ProductHead,
    "joined": JoinedHead,
    "joined, batch norm": partial(JoinedHead, norm=torch.nn.BatchNorm2d),
}


@pytest.mark.parametrize("name", HEADS)
def test_the_answer_for_a_pair_does_not_depend_on_the_rest_of_its_batch_but_with_batch_norm(name):
    """Where it does, D tells a batch of right pairs from one of wrong pairs by its statistics."""
    torch.manual_seed(0)
    head = HEADS[name](8, 6, (4, 4))
    maps, code = torch.randn(8, 8, 4, 4), torch.randn(8, 6)
    first, half = head(maps, code)[:4], head(maps[:4], code[:4])
    assert first.shape == (4,)
    assert torch.allclose(first, half, atol=1e-5) is ("batch norm" not in name)
    assert not torch.allclose(head(maps, code), head(maps, code.roll(1, 0)), atol=1e-3)


def test_a_product_head_adds_up_what_an_image_shows_of_each_word():
    torch.manual_seed(0)
    head = ProductHead(8, 6, (2, 3)).double()
    maps, one, other = torch.randn(4, 8, 2, 3).double(), torch.randn(4, 6).double(), torch.randn(4, 6).double()
    none = head(maps, torch.zeros_like(one))
    assert torch.allclose(head(maps, one + other) - none, head(maps, one) + head(maps, other) - 2 * none)


@pytest.mark.parametrize("name", ["product", "joined"])
def test_comparing_all_pairs_is_the_answer_for_each(name):
    torch.manual_seed(0)
    head = HEADS[name](8, 6, (2, 3))
    maps, codes = torch.randn(4, 8, 2, 3), torch.randn(5, 6)
    found = head.compare(maps, codes)
    assert found.shape == (4, 5)
    each = torch.stack([head(maps, code.expand(4, 6)) for code in codes], 1)
    assert torch.allclose(found, each, atol=1e-5)


def test_what_cannot_be_drawn_is_one_line():
    with pytest.raises(UserError, match="branches is 4: want at most 3"):
        TreeNet(ImageSpec(3, 16, 16), 5, 6, branches=4)
    with pytest.raises(UserError, match="shrink is 3: want 2, 4"):
        StageTwo(ImageSpec(3, 12, 12), 6, 3)
    with pytest.raises(UserError, match="kernel is 2: want an odd"):
        JoinedHead(8, 6, (4, 4), kernel=2)
