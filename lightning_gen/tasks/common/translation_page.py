"""A page of pictures and what became of them: one HTML file that needs no network and no other file."""

import io
from html import escape
from pathlib import Path, PurePosixPath

from PIL import Image

from lightning_gen.data.decode import open_picture
from lightning_gen.data.sources import Source, tree
from lightning_gen.files import data_uri, write_text
from lightning_gen.tasks.common.picture_files import Job

__all__ = ["write_page"]

#: pictures on a page, and pixels of the longer side of each
_MOST, _SIDE = 200, 320
_STYLE = "body{font:14px sans-serif;margin:2em}td,th{padding:4px 12px 4px 0;text-align:left;vertical-align:top}"


def write_page(path: Path, jobs: list[Job], targets: Path | None = None) -> None:
    """Write source | outputs | target of each picture, small, as HTML.

    Args:
        path: of the page.
        jobs: whose files are written.
        targets: folder of the true outputs, found by their names without ending (None: no such column).
    """
    true = tree(targets) if targets else None
    places = {str(PurePosixPath(name).with_suffix("")): i for i, name in enumerate(true.names)} if true else {}
    heads = ["source", "output", *(["target"] if true else [])]
    rows = [_row(job, true, places.get(str(PurePosixPath(job.name).with_suffix("")))) for job in jobs[:_MOST]]
    note = f"<p>The first {_MOST} of {len(jobs)} pictures.</p>" if len(jobs) > _MOST else ""
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = f"{note}<table><tr>{head}</tr>{''.join(rows)}</table>"
    title = "<title>Translated pictures</title>"
    write_text(path, f"<!doctype html><meta charset=utf-8>{title}<style>{_STYLE}</style>{body}\n")


def _row(job: Job, true: Source | None, place: int | None) -> str:
    cells = [_cell(job.source.read(job.place), job.name)]
    cells.append("".join(_image(target.read_bytes(), target.name) for target in job.targets))
    if true is not None:
        cells.append("" if place is None else _cell(true.read(place), true.names[place]))
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _cell(content: bytes, name: str) -> str:
    return f"{_image(content, name)}<br>{escape(name)}"


def _image(content: bytes, name: str) -> str:
    picture = open_picture(content, name)
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, format="PNG")
    return f'<img src="{data_uri("image/png", stream.getvalue())}" alt="{escape(name, quote=True)}">'
