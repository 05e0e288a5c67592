"""What a generative model can do: sample, generate from noise, complete, decode value by value."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Generator, Tensor

from lightning_gen.batches import Batch
from lightning_gen.contracts.module import ImageModule
from lightning_gen.images import as_pictures, grid

__all__ = ["CompletionModule", "GenerativeModule", "NoiseModule", "Place", "SequentialModule", "StyleModule"]


#: channel, row, column of a value in an image
Place = tuple[int, int, int]


class GenerativeModule(ImageModule):
    """A model that makes images."""

    @abstractmethod
    def sample(
        self,
        n: int,
        condition: Batch | None = None,
        temperature: float = 1.0,
        generator: Generator | None = None,
    ) -> Tensor:
        """Draw `n` images.

        Args:
            n: number of images.
            condition: a batch of n rows without ``image``, for models with `condition_keys`; None: drawn from
                `generator`, labels with equal probability.
            temperature: scale of the noise, 1 for the model as trained; 0 < temperature.
            generator: source of all randomness; the same seed gives the same images bit for bit.

        Returns:
            uint8 (n, C, H, W), values 0..levels-1.
        """

    def preview(self, batch: Batch, generator: Generator | None = None) -> Tensor | None:
        """Draw 64 samples as a grid."""
        return grid(as_pictures(self.sample(64, generator=generator), self.spec), 256)


class NoiseModule(ABC):
    """A model whose image is a function of a vector of standard normal noise."""

    #: Z
    latent_dim: int

    @abstractmethod
    def generate(self, z: Tensor, condition: Batch | None = None) -> Tensor:
        """float (B, Z), and B rows of the condition where the model has one -> uint8 (B, C, H, W); deterministic."""

    @abstractmethod
    def draw_condition(self, n: int, generator: Generator | None = None) -> Batch | None:
        """n rows of the condition as `GenerativeModule.sample` draws them; None for a model without."""


class StyleModule(NoiseModule):
    """A model that turns its noise into a style first, a vector of which the image is a smoother function (Karras et
    al. 2019, Section 2): directions of attributes are looked for there."""

    @property
    @abstractmethod
    def style_mean(self) -> Tensor:
        """The mean style, float (W,)."""

    @property
    @abstractmethod
    def style_weights(self) -> Tensor:
        """The weights that a style meets first, of all layers together, float (F, W)."""

    @abstractmethod
    def styles(self, z: Tensor, condition: Batch | None = None) -> Tensor:
        """float (B, Z), and B rows of the condition where the model has one -> float (B, W)."""

    @abstractmethod
    def paint(self, w: Tensor) -> Tensor:
        """float (B, W) -> signed images (B, C, H, W), not rounded, with the same noise each time; differentiable."""

    @abstractmethod
    def render(self, w: Tensor, generator: Generator | None = None) -> Tensor:
        """Generate images of styles.

        Args:
            w: float (B, W), or (B, L, W) with a style for each of the layers.
            generator: source of the noise in the layers, drawn anew for each image; None: the same noise each time.

        Returns:
            uint8 (B, C, H, W).
        """

    def truncate(self, w: Tensor, share: float) -> Tensor:
        """Move styles (B, W) towards the mean, to `share` of their distance: 1 leaves them as they are, 0 is the mean
        (Karras et al. 2019, Appendix B)."""
        return self.style_mean.lerp(w, share) if share != 1 else w

    def generate(self, z: Tensor, condition: Batch | None = None) -> Tensor:
        return self.render(self.styles(z, condition))


class CompletionModule(ABC):
    """A model that fills in the missing part of an image."""

    @abstractmethod
    def complete(
        self, image: Tensor, known: Tensor, condition: Batch | None = None, generator: Generator | None = None
    ) -> Tensor:
        """uint8 (B, C, H, W), bool (B, 1, H, W), True where the pixel is given -> uint8 (B, C, H, W) that agrees
        with `image` on the known pixels; `condition` and `generator` as in `GenerativeModule.sample`."""

    @abstractmethod
    def completes_exactly(self, known: Tensor) -> bool:
        """bool (B, 1, H, W) -> whether `complete` draws from the model's own p(missing | known)."""


class SequentialModule(ABC):
    """A model that knows the exact probability of each value of an image given those before, in an order of its own."""

    @abstractmethod
    def decode_sequentially(
        self, n: int, choose: Callable[[Tensor, Place], Tensor], condition: Batch | None = None
    ) -> Tensor:
        """Decode `n` images value by value.

        Args:
            n: number of images.
            choose: called with p, float64 (n, levels), and the place, channel by channel and in the model's order of
                pixels; its answer, levels (n,), is what the values become. The same answers give the same p, bit for
                bit, on the same device with the same number of threads and the same `n`.
            condition: a batch of n rows; must not be None for models with `condition_keys`.

        Returns:
            uint8 (n, C, H, W).
        """
