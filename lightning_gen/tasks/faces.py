"""A page with a slider for each attribute of a generator's pictures, on this machine alone; `lightning-gen axes` comes
first."""

from lightning_gen.config.arguments import Arguments, natural, positive
from lightning_gen.config.loading import checkpoint_path
from lightning_gen.errors import UserError
from lightning_gen.serving import ADDRESS, check_page, page_command, serve
from lightning_gen.tasks.common.portrait import PAGE

__all__ = ["main"]


def main(arguments: list[str]) -> None:
    """``lightning-gen faces RUN [--label L] [--port 8502]``."""
    parser = Arguments("faces", __doc__)
    parser.run()
    parser.add_argument("--port", type=positive, default=8502, help="of the page, on 127.0.0.1 (8502)")
    parser.add_argument("--label", type=natural, help="class of all images, as given to lightning-gen axes")
    options = parser.parse_args(arguments)

    checkpoint_path(options.run, options.checkpoint)
    if not list((options.run / "axes").glob("*.json")):
        raise UserError(f"run {options.run} has no axes: want lightning-gen axes {options.run} first")
    check_page("faces", options.port)
    print(f"faces: http://{ADDRESS}:{options.port} (Ctrl-C ends it)", flush=True)
    label = "" if options.label is None else str(options.label)
    words = [str(options.run), options.checkpoint, label, *options.trust]
    status = serve(page_command(PAGE, options.port, words))
    if status not in (0, -2, -15, 130, 143):
        raise UserError(f"faces ended with status {status}: Streamlit says why above")
