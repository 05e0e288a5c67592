"""A folder of pictures through a command, file by file."""

import sys
from collections.abc import Callable

from lightning_gen.errors import UserError
from lightning_gen.tasks.common.picture_files import Job

__all__ = ["each_picture"]


def each_picture(
    jobs: list[Job], work: Callable[[int, Job], None], step: Callable[[], None] = lambda: None
) -> list[Job]:
    """Do `work` with every picture; a damaged one is left out and named on standard error.

    Args:
        jobs: of `picture_files.plan`.
        work: called with the number of the job and the job; raises `UserError` where its picture cannot be read.
        step: called after each picture.

    Returns:
        The jobs that were done.

    Raises:
        UserError: not one picture could be read.
    """
    done, reasons = [], []
    for number, job in enumerate(jobs):
        try:
            work(number, job)
        except UserError as error:
            reasons.append(str(error))
            print(f"lightning-gen: left out: {error}", file=sys.stderr)
        else:
            done.append(job)
        step()
    if not done:
        raise UserError(f"none of {len(jobs)} pictures could be read; the first: {reasons[0]}")
    return done
