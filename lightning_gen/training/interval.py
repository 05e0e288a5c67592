"""Intervals in images seen: they mean the same for every family, batch size and number of processes."""

__all__ = ["ImageInterval"]


class ImageInterval:
    """An interval of `every` images: `due` is true once in each, whatever the batch size.

    Args:
        every: images between two times; 0: never.
    """

    def __init__(self, every: int) -> None:
        self.every = self.next = every

    def due(self, images_seen: int) -> bool:
        """Return whether an interval has ended since the last call."""
        if not self.every or images_seen < self.next:
            return False
        self.next = (images_seen // self.every + 1) * self.every
        return True
