"""Captions as a condition: words change the vector, a checkpoint alone can draw, strange texts do no harm."""

import pytest
import torch

from lightning_gen.errors import UserError
from lightning_gen.images import ImageSpec
from lightning_gen.nets.condition import ConditioningAugmentation
from lightning_gen.nets.text.bags import HashedWords, TfIdf
from lightning_gen.nets.text.encoder import tokens
from lightning_gen.nets.text.installed import InstalledEncoder
from lightning_gen.nets.text.recurrent import LearnedWords
from lightning_gen.nets.text.towers import Sentences

SPEC = ImageSpec(3, 8, 8, text=True)
TEXTS = ["a red star", "a blue star", "ein grüner Kreis", "звезда", "", "!?", "word " * 500]


def _installed(spec):
    return InstalledEncoder(spec, lambda: lambda texts: [[float(len(t)), float(t.count("r"))] for t in texts], 2)


ENCODERS = {
    "hashed": HashedWords,
    "tf-idf": lambda spec: TfIdf(spec, words=32),
    "learned": lambda spec: LearnedWords(spec, features=16, words=32),
    "installed": _installed,
}


@pytest.fixture(params=ENCODERS)
def encoder(request):
    torch.manual_seed(0)
    made = ENCODERS[request.param](SPEC).eval()
    made.learn([{"text": TEXTS[:2]}, {"text": TEXTS[2:4]}])
    return made


def test_every_text_becomes_a_finite_vector_of_its_own(encoder):
    vector = encoder.vector({"text": TEXTS})
    assert vector.shape == (len(TEXTS), encoder.features)
    assert vector.isfinite().all()
    assert not torch.equal(vector[0], vector[1])
    if not isinstance(encoder, InstalledEncoder):
        assert torch.equal(vector[4], torch.zeros(encoder.features))  # no words, no meaning
    alone = torch.cat([encoder.vector({"text": [text]}) for text in TEXTS])
    assert torch.allclose(alone, vector, atol=1e-6)  # a text means the same beside any others
    prepared = encoder.prepare({"text": TEXTS})
    assert torch.equal(encoder.vector({"words": prepared["words"]}), vector)


def test_training_captions_are_drawn_from_the_checkpoint_alone(encoder):
    other = type(encoder).__new__(type(encoder))
    other = next(make(SPEC) for make in ENCODERS.values() if type(make(SPEC)) is type(encoder)).eval()
    with pytest.raises(UserError, match="no captions to draw from"):
        other.draw(2)
    assert other.kept(3).shape[0] == 0
    other.load_state_dict(encoder.state_dict())
    assert torch.equal(other.kept(3), encoder.prepare({"text": TEXTS[:3]})["words"])
    drawn = [c.rows(None, 20, torch.Generator().manual_seed(3))["text"] for c in (encoder, other)]
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) == set(TEXTS[:4])
    assert torch.equal(encoder.vector({"text": TEXTS}), other.vector({"text": TEXTS}))


def test_a_vocabulary_names_what_it_does_not_know():
    for make in (ENCODERS["tf-idf"], ENCODERS["learned"]):
        encoder = make(SPEC)
        encoder.learn([{"text": TEXTS[:4]}])
        assert encoder.unknown("A big RED star, зелёная звезда") == ["big", "зелёная"]
        assert encoder.unknown(TEXTS[0]) == encoder.unknown("") == []
    assert HashedWords(SPEC, length=2).unknown("one two three four") == ["three", "four"]
    few = TfIdf(SPEC, words=1)
    few.learn([{"text": TEXTS[:2]}])
    assert few.vocabulary == ["a"]  # the most frequent; star is as frequent, and comes later in the alphabet


def test_tf_idf_is_that_of_the_formula():
    encoder = TfIdf(SPEC, words=8)
    encoder.learn([{"text": ["a red star", "a blue star", "a star star"]}])
    vector = encoder.vector({"text": ["a star star"]})[0]
    rare = {word: 1.0 + torch.log(torch.tensor(4.0 / (1 + count))) for word, count in (("a", 3), ("star", 3))}
    expected = torch.stack([rare["a"], 2 * rare["star"]])
    assert torch.allclose(vector[:2], 8**0.5 * expected / expected.norm(), atol=1e-5)
    assert vector[2:].abs().sum() == 0


def test_words_and_their_order_matter():
    red_blue, blue_red = HashedWords(SPEC).vector({"text": ["red over blue", "blue over red"]})
    assert not torch.equal(red_blue, blue_red)
    assert tokens("A red-ish STAR, 2 of them!") == ["a", "red", "ish", "star", "2", "of", "them"]


def test_conditioning_augmentation_blurs_in_training_alone_and_costs_its_divergence():
    torch.manual_seed(0)
    condition = ConditioningAugmentation(SPEC, HashedWords, features=8, weight=2.0)
    batch = {"text": TEXTS[:2]}
    first, second = condition(batch), condition(batch)
    assert not torch.equal(first.vector, second.vector)
    mean, log_sigma = condition.moments(condition.inner.vector(batch)).chunk(2, 1)
    normal = torch.distributions.Normal(mean, log_sigma.exp())
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    assert torch.allclose(first.loss, 2.0 * expected)
    condition.eval()
    assert condition(batch).loss is None
    assert torch.equal(condition(batch).vector, mean)


@pytest.mark.parametrize("state", [b"", b"{", b"[]", b'{"captions": 3}', b'{"captions": [1]}', b"\xff"])
def test_damaged_captions_of_a_checkpoint_are_one_line(state):
    encoder = HashedWords(SPEC)
    with pytest.raises(UserError, match="captions that cannot be read"):
        encoder.set_extra_state(torch.frombuffer(bytearray(state), dtype=torch.uint8) if state else torch.empty(0))


def test_what_cannot_be_is_one_line(tmp_path):
    with pytest.raises(UserError, match="data has no captions"):
        HashedWords(ImageSpec(1, 4, 4))
    with pytest.raises(UserError, match="features is 3: the encoder gives"):
        InstalledEncoder(SPEC, lambda: lambda texts: [[1.0, 2.0]], 3).vector({"text": ["a"]})
    with pytest.raises(UserError, match="has no checkpoint: want the folder of a run"):
        Sentences(SPEC, str(tmp_path)).learn([{"text": ["a"]}])
    (tmp_path / "x.ckpt").write_bytes(b"PK\x03\x04")
    with pytest.raises(UserError, match="cannot be read"):
        Sentences(SPEC, str(tmp_path / "x.ckpt")).learn([{"text": ["a"]}])


def test_samples_of_an_augmentation_take_its_mean_or_the_noise_of_training():
    batch = {"text": TEXTS[:3]}
    for spread, width in ((0.0, 0), (1.0, 8)):
        torch.manual_seed(0)
        condition = ConditioningAugmentation(SPEC, HashedWords, features=8, spread=spread)
        assert condition.noise == width
        torch.manual_seed(1)
        trained, mean = condition(batch).vector, condition.eval()(batch).vector
        torch.manual_seed(1)
        drawn = condition.vector_of(condition.code(batch), torch.randn(3, width))
        assert torch.equal(drawn, trained if spread else mean)
