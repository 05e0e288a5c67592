"""A live page over run folders: leaderboard, curves, sample grids through time, differences; on this machine alone."""

import os
from pathlib import Path

from lightning_gen.config.arguments import Arguments, positive
from lightning_gen.errors import UserError
from lightning_gen.serving import ADDRESS, check_page, page_command
from lightning_gen.serving import serve as _serve

__all__ = ["command", "main"]


def main(arguments: list[str]) -> None:
    """``lightning-gen dashboard FOLDER [FOLDER ...] [--port 8501] [--every 5]``."""
    parser = Arguments("dashboard", __doc__)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="a run, or a folder that holds runs")
    parser.add_argument("--port", type=positive, default=8501, help="of the page, on 127.0.0.1 (8501)")
    parser.add_argument("--every", type=positive, default=5, help="seconds between two looks at the folders (5)")
    options = parser.parse_args(arguments)

    for folder in options.folders:
        if not folder.is_dir():  # one without runs is fine: they may come while the page is open
            raise UserError(f"folder {folder} does not exist: want a run, or a folder that holds runs")
    check_page("dashboard", options.port)
    print(f"dashboard: http://{ADDRESS}:{options.port} (Ctrl-C ends it)", flush=True)
    status = _serve(command(options.folders, options.port, options.every))
    if status not in (0, -2, -15, 130, 143):
        raise UserError(f"dashboard ended with status {status}: Streamlit says why above")


def command(folders: list[Path], port: int, every: int) -> list[str]:
    """What is run, see `page_command`."""
    return page_command(Path(__file__).with_name("board.py"), port, [str(every), *map(os.fspath, folders)])
