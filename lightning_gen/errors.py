"""The one exception that means "the user can fix this": it is shown as one plain line, exit status 2, no traceback."""

__all__ = ["UserError", "check_counts"]


class UserError(ValueError):
    """Something the user can get wrong.

    The message is one line that names the argument, what it got and what it wants:
    ``UserError("data.batch_size is 0: want a positive number of images")``.
    """


def check_counts(owner: str, **counts: int) -> None:
    """Arguments of `owner`, by name, that must be 1 or more.

    Raises:
        UserError: one of them is less: ``net.layers is 0: want 1 or more``.
    """
    for name, count in counts.items():
        if count < 1:
            raise UserError(f"{owner}.{name} is {count}: want 1 or more")
