"""The commands of the page: app serves it to a browser, export-page writes it as one file.

MODEL --small--> model of the page --app--> http://127.0.0.1:PORT/          --export-page--> .html
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..arguments import open_model
from ..console import Log, show
from ..options import Json, ModelPath
from ..outputs import check_apart, check_file

if TYPE_CHECKING:
    from .page import Files


def app(
    model_path: Annotated[
        Path | None,
        typer.Argument(metavar="MODEL", help="Folder that fit wrote.", show_default="the demo's digits, fitted now"),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to serve at; 0.0.0.0 is all networks.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to serve at; 0 is any free one.")] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the browser.")] = False,
) -> None:
    """Open a page in the browser that shows a model at work."""
    from . import server

    server.require_extra()
    log = Log()
    with server.listen(host, port) as opened:
        model = _files(model_path, log)
        from .page import static_files

        application = server.application(static_files(), model, host)
        address = server.address_of(opened)
        typer.echo(f"{address} shows the model; Ctrl-C ends.")
        if not no_browser:
            _open_browser(address)
        server.server(application).run([opened])


def export_page(
    model_path: ModelPath,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help=".html: the page.")] = Path("page.html"),
    as_json: Json = False,
) -> None:
    """Write that page as one file, which works offline and from disk."""
    check_file(out, (".html", ".htm"))
    check_apart([out], *_read(model_path))
    log = Log()
    model = _files(model_path, log)
    from ...utils.files import write_files
    from .page import one_file, static_files

    with log.step("write", f"writing {out}"):
        page = one_file(static_files(), model)
        out.parent.mkdir(parents=True, exist_ok=True)
        write_files(out.parent, {out.name: page})
    record = {"out": str(out), "bytes": len(page), "seconds": log.seconds}
    show(record, f"{out}: {len(page):,} bytes; open it in a browser", as_json=as_json)


def _files(model_path: Path | None, log: Log) -> "Files":
    """The files of a model as the page has it, or of the demo's digits."""
    from .page import page_files
    from .small import demo_model, require_showable, small_model

    if model_path is None:
        with log.step("fit", "fitting 5,000 real digits"):
            model = demo_model()
    else:
        model = open_model(model_path, None, log)
    require_showable(model)
    with log.step("shrink", "making the model small for the page"):
        return page_files(*small_model(model))


def _read(model_path: Path) -> list[Path]:
    """The files that a page is made of."""
    from .page import STATIC

    return [path for folder in (model_path, STATIC) if folder.is_dir() for path in folder.rglob("*")]


def _open_browser(address: str) -> None:
    """In a thread: some browsers run in the terminal, and return when they are closed."""
    import threading
    import webbrowser

    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
