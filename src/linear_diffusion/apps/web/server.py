"""Server: the page and its model from memory, to browsers on this machine.

    GET /              index.html, and all other files of the page by their names
    GET /model/NAME    the model's two files

All is read before the first request, so that no request names a path of the file system. Whatever else is asked for is
refused: other names (404), other methods (405), and requests that carry a body (400, 413), which nobody looks at.
"""

import gzip
import hashlib
import mimetypes
import socket
from asyncio import timeout
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...exceptions import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request
    from starlette.responses import Response
    from uvicorn import Server

    from .page import Files

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".json": "application/json"}
"""Said here, since systems name scripts otherwise, and browsers do not run them then."""
_MOST_BODY, _PATIENCE = 2**20, 2.0
"""Bytes of a refused request that are passed over at most, and seconds that this may take."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class _File:
    """What is answered, as it is and packed."""

    content: bytes
    packed: bytes
    kind: str
    tag: str

    @classmethod
    def of(cls, name: str, content: bytes) -> "_File":
        suffix = name[name.rfind(".") :]
        kind = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        return cls(content, gzip.compress(content, mtime=0), kind, hashlib.sha256(content).hexdigest()[:32])


def application(static: "Files", model: "Files", host: str = "127.0.0.1") -> Any:
    """The page as an ASGI application.

    Parameters
    ----------
    static, model : dict of bytes
        What `page.static_files` and `page.page_files` give.
    host : str
        Where it is served. On loopback only requests to this machine's own names are answered: a page from elsewhere,
        whose name was made to lead here, would otherwise read the model (DNS rebinding).

    Raises
    ------
    MissingExtraError
        If starlette or uvicorn is not installed.
    """
    require_extra()
    from starlette.requests import Request
    from starlette.responses import Response

    given = {f"/{name}": content for name, content in static.items()}
    given |= {f"/model/{name}": content for name, content in model.items()}
    files = {name: _File.of(name, content) for name, content in given.items()}
    files["/"] = files["/index.html"]
    names = _LOOPBACK if host in _LOOPBACK else None

    async def application(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        status, text, headers = _refusal(request, names)
        file = files.get(scope["path"])
        if file is None and not status:
            status, text = 404, "Not found."
        if file is None or status:
            await _pass_over(request)
            response = Response(f"{text}\n", status, _HEADERS | headers | {"Connection": "close"}, "text/plain")
        else:
            response = _found(request, file, Response)
        await response(scope, receive, send)

    return application


def _refusal(request: "Request", names: "Iterable[str] | None") -> tuple[int, str, dict[str, str]]:
    """Why a request is not answered, whatever it asks for; status 0 where it is."""
    length, name = request.headers.get("content-length", "0"), request.headers.get("host", "")
    if names is not None and name.rpartition(":")[0].strip("[]") not in names and name.strip("[]") not in names:
        return 400, "This server answers to this machine's own names only.", {}
    if request.method not in ("GET", "HEAD"):
        return 405, "Only GET and HEAD are answered.", {"Allow": "GET, HEAD"}
    if length.strip("0") or "transfer-encoding" in request.headers:
        return (413 if len(length) > 4 else 400), "A request has no body here.", {}
    return 0, "", {}


async def _pass_over(request: "Request") -> None:
    """Take what comes along with a request that is refused, if it is not much: on a connection that is closed before,
    the answer may be lost."""
    length = request.headers.get("content-length", "0")
    left = 0 if len(length) > 7 or int(length) > _MOST_BODY or "expect" in request.headers else _MOST_BODY
    with suppress(TimeoutError):
        async with timeout(_PATIENCE):
            while left > 0:
                message = await request.receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body"):
                    return


def _found(request: "Request", file: _File, response: Any) -> "Response":
    """A file, packed for who takes that, or the word that it has not changed."""
    packed = "gzip" in request.headers.get("accept-encoding", "") and len(file.packed) < len(file.content)
    tag = f'"{file.tag}-gzip"' if packed else f'"{file.tag}"'
    headers = _HEADERS | {"ETag": tag}
    if tag in request.headers.get("if-none-match", ""):
        return response(None, 304, headers)
    if packed:
        headers["Content-Encoding"] = "gzip"
    return response(file.packed if packed else file.content, 200, headers, file.kind)


def listen(host: str, port: int) -> socket.socket:
    """Open a port, any free one for 0, so that who connects from now on is answered.

    Raises
    ------
    ValueError
        Naming the argument, where it cannot be opened.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=1024)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(
            f"host={host} and port={port} cannot be opened ({reason}); leave port out for any free one, and host for "
            "this machine alone."
        ) from error


def address_of(opened: socket.socket) -> str:
    """What a browser on this machine calls an open port."""
    host, port = opened.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def server(application: Any) -> "Server":
    """What serves an application until it is interrupted: ``server(application).run([listen(host, port)])``."""
    require_extra()
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            application,
            http="h11",  # in Python alone, and strict
            ws="none",
            lifespan="off",
            log_level="critical",  # what a client does wrong is the client's to know
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
    )


def require_extra() -> None:
    """Raise `MissingExtraError` where starlette or uvicorn is not installed."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "a server needs starlette and uvicorn: pip install 'linear-diffusion[web]'; export-page needs neither"
        ) from error
