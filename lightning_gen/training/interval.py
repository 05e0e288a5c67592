"""Intervals in images seen: they mean the same for every family, batch size and number of processes."""

__all__ = ["ImageInterval"]


class ImageInterval:
    """An interval of `every` images: `due` is true once in each, whatever the batch size.

    Args:
        every: images between two times; 0: never.
    """

    def __init__(self, every: int) -> None:
        self.every = self.next = every

    def state_dict(self) -> dict[str, int]:
        """Return what a checkpoint keeps."""
        return {"every": self.every, "next": self.next}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where `state` was; an interval of another length begins anew at the next image."""
        self.next = state["next"] if state["every"] == self.every else -1

    def due(self, images_seen: int) -> bool:
        """Return whether an interval has ended since the last call."""
        if not self.every:
            return False
        if self.next < 0:  # the interval was another one
            self.next = images_seen if images_seen % self.every == 0 else (images_seen // self.every + 1) * self.every
        if images_seen < self.next:
            return False
        self.next = (images_seen // self.every + 1) * self.every
        return True
