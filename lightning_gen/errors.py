"""The one exception that means "the user can fix this": it is shown as one plain line, exit status 2, no traceback."""

__all__ = ["UserError"]


class UserError(ValueError):
    """Something the user can get wrong.

    The message is one line that names the argument, what it got and what it wants:
    ``UserError("data.batch_size is 0: want a positive number of images")``.
    """
