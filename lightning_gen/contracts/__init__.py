"""The contracts. Batches are dicts; images are uint8 at every door; a capability is a base class, never a probe.

    ImageData           a data set: spec, fingerprint, loaders
    SuperResolutionData     whole pictures beside their small ones
    DescribedData       drawn pictures whose captions name known attributes
    ImageModule         anything that trains on images: spec, images seen, schedule, which part is averaged
    DescentModule       minimises one loss; training by one optimizer, written once
    GenerativeModule    sample
    LikelihoodModule    log_prob in nats of the DISCRETE image; bits/dim
    PictureLogger       takes sample grids beside metrics
    VariationalModule   log p(x|z) and KL, whose difference bounds log p(x)
    ReconstructionModule    reconstruct
    LatentModule        encode, decode
    StochasticLatentModule  codes and prior as distributions
    NoiseModule         generate, from a noise vector
    StyleModule         styles between noise and image, truncated towards their mean
    CompletionModule    complete
    SequentialModule    decode_sequentially: every value of an image with its exact probabilities given those before
    BitsBackModule      the Gaussian code and pixel probabilities that compression needs
    TranslationModule   translate
    BackTranslationModule   translate_back
    TextModule          text_code, generate_from_code: pictures of sentences, and between them
    RetrievalModule     picture_vectors, text_vectors: which caption belongs to which picture
    SuperResolutionModule   translate to a larger size
    AdversarialModule   the only manual optimisation in the project, in one method

A batch is ``{"image": uint8 (B, C, H, W), "label": int64 (B,), "attributes": float (B, A), ...}``; a condition is the
same dict without ``image``.
"""

from lightning_gen.contracts.adversarial import AdversarialModule
from lightning_gen.contracts.alternation import AdversarialTraining, Losses, Phase, PlayerName
from lightning_gen.contracts.data import (
    DescribedAttribute,
    DescribedData,
    ImageData,
    Split,
    SuperResolutionData,
)
from lightning_gen.contracts.descent import DescentModule
from lightning_gen.contracts.generation import (
    CompletionModule,
    GenerativeModule,
    NoiseModule,
    Place,
    SequentialModule,
    StyleModule,
)
from lightning_gen.contracts.latent import BitsBackModule, LatentModule, ReconstructionModule, StochasticLatentModule
from lightning_gen.contracts.likelihood import Bound, LikelihoodModule, VariationalModule
from lightning_gen.contracts.module import ImageModule, OptimizerFactory, PictureLogger, StepOutcome, StepRunner
from lightning_gen.contracts.retrieval import RetrievalModule
from lightning_gen.contracts.text import TextModule
from lightning_gen.contracts.translation import BackTranslationModule, SuperResolutionModule, TranslationModule

__all__ = [
    "AdversarialModule",
    "AdversarialTraining",
    "BackTranslationModule",
    "BitsBackModule",
    "Bound",
    "CompletionModule",
    "DescentModule",
    "DescribedAttribute",
    "DescribedData",
    "GenerativeModule",
    "ImageData",
    "ImageModule",
    "LatentModule",
    "LikelihoodModule",
    "Losses",
    "NoiseModule",
    "OptimizerFactory",
    "Phase",
    "PictureLogger",
    "Place",
    "PlayerName",
    "ReconstructionModule",
    "RetrievalModule",
    "SequentialModule",
    "Split",
    "StepOutcome",
    "StepRunner",
    "StochasticLatentModule",
    "StyleModule",
    "SuperResolutionData",
    "SuperResolutionModule",
    "TextModule",
    "TranslationModule",
    "VariationalModule",
]
