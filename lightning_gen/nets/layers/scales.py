"""How many resolutions a network of an image has."""

from lightning_gen.images import ImageSpec

__all__ = ["halvings"]


def halvings(spec: ImageSpec) -> int:
    """How often both sides can be halved before one of them reaches 4 to 7 pixels or an odd number."""
    count, sides = 0, (spec.height, spec.width)
    while all((side >> count) % 2 == 0 and side >> count > 4 for side in sides):
        count += 1
    return count
