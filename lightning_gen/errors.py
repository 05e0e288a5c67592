"""The one exception that means "the user can fix this": it is shown as one plain line, exit status 2, no traceback."""

__all__ = ["IMAGE_LIMIT", "SEED_LIMIT", "UserError", "check_counts"]

#: layers, widths and the like beyond this are a slip of the hand, or a file that wants to keep a machine busy
COUNT_LIMIT = 16_384
#: images seen in a training, and steps between them
IMAGE_LIMIT = 1 << 50
#: the largest seed that every generator of numbers takes
SEED_LIMIT = 2**32 - 1


class UserError(ValueError):
    """Something the user can get wrong.

    The message is one line that names the argument, what it got and what it wants:
    ``UserError("data.batch_size is 0: want a positive number of images")``.
    """


def check_counts(owner: str, limit: int = COUNT_LIMIT, **counts: int) -> None:
    """Check arguments of `owner`, by name, that must be 1 or more.

    Args:
        owner: of the arguments, such as ``net``.
        limit: the most that any of them may be.
        counts: the arguments.

    Raises:
        UserError: one of them is less than 1, ``net.layers is 0: want 1 or more``, or more than `limit`.
    """
    for name, count in counts.items():
        if count < 1:
            raise UserError(f"{owner}.{name} is {count}: want 1 or more")
        if count > limit:
            raise UserError(f"{owner}.{name} is {count}: want at most {limit}")
