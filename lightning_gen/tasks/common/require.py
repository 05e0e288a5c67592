"""A model as what a task needs it to be."""

from typing import TypeVar

from lightning_gen.contracts import (
    CompletionModule,
    GenerativeModule,
    ImageModule,
    LatentModule,
    LikelihoodModule,
    ReconstructionModule,
    SuperResolutionModule,
    TranslationModule,
    VariationalModule,
)
from lightning_gen.errors import UserError
from lightning_gen.finite import finite_weights

__all__ = ["check_finite", "require"]

K = TypeVar("K")

#: contract -> what a model without it lacks, and which models have it
_LACKS: dict[type, tuple[str, str]] = {
    CompletionModule: ("cannot complete", "an autoregressive model or a flow"),
    GenerativeModule: ("cannot sample", "a generative model"),
    LatentModule: ("has no codes", "a model with a vector per image, such as a VAE"),
    LikelihoodModule: ("has no likelihood", "a flow, VAE or autoregressive model"),
    ReconstructionModule: ("cannot reconstruct", "a model with codes, such as a VAE"),
    SuperResolutionModule: ("does not enlarge pictures", "a model of super-resolution, such as SRResNet"),
    TranslationModule: ("does not translate", "a model of pairs or of two domains, such as Pix2Pix"),
    VariationalModule: ("has no latent variables with a rate", "a VAE"),
}


def check_finite(module: ImageModule) -> None:
    """Raise `UserError` where weights of `module` are not finite."""
    if not finite_weights(module):
        raise UserError(f"{type(module).__name__} has weights that are not finite: want one from before it diverged")


def require(module: ImageModule, contract: type[K]) -> K:
    """Give `module` back as a `contract`, one of those above.

    Raises:
        UserError: it is no such model, or its weights are not finite.
    """
    check_finite(module)
    if not isinstance(module, contract):
        lacks, want = _LACKS[contract]
        raise UserError(f"{type(module).__name__} {lacks}: want {want}")
    return module
