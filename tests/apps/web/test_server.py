"""The server on a real port: what it serves, what it refuses, and that nothing ends it."""

import asyncio
import gzip
import http.client
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from linear_diffusion import LinearDiffusion, MissingExtraError
from linear_diffusion.apps.web import server
from linear_diffusion.apps.web.page import CONFIG, WEIGHTS, Files, page_files, static_files

pytest.importorskip("uvicorn", reason="starlette and uvicorn are the extra web")
Send = Callable[[bytes], bytes]
Get = Callable[..., tuple[int, dict[str, str], bytes]]


@pytest.fixture(scope="module")
def files(styled_model: LinearDiffusion) -> Files:
    return page_files(styled_model)


@pytest.fixture(scope="module")
def address(files: Files) -> Iterator[tuple[str, int]]:
    """Host and port of a running server."""
    running = server.server(server.application(static_files(), files))
    with server.listen("127.0.0.1", 0) as opened:
        where = urlsplit(server.address_of(opened))
        thread = threading.Thread(target=running.run, args=([opened],))
        thread.start()
        assert where.hostname is not None and where.port is not None
        yield where.hostname, where.port
        running.should_exit = True
        thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def get(address: tuple[str, int]) -> Get:
    def get(path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, dict, bytes]:
        connection = http.client.HTTPConnection(*address, timeout=20)
        connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
        found = connection.getresponse()
        content = found.read()
        connection.close()
        return found.status, {name.lower(): text for name, text in found.getheaders()}, content

    return get


@pytest.fixture
def send(address: tuple[str, int]) -> Send:
    def send(request: bytes) -> bytes:
        """The first bytes of the answer to raw bytes; none where the server hangs up."""
        with socket.create_connection(address, timeout=20) as connection:
            try:
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
                return connection.recv(4096)
            except OSError:
                return b""

    return send


def test_all_files_are_served_as_they_lie(get: Get, files: Files) -> None:
    given = {f"/{name}": text for name, text in static_files().items()}
    given |= {"/": given["/index.html"], f"/model/{CONFIG}": files[CONFIG], f"/model/{WEIGHTS}": files[WEIGHTS]}
    kinds = {"js": "text/javascript", "css": "text/css", "html": "text/html", "json": "application/json"}
    for path, content in given.items():
        status, headers, found = get(path)
        assert (status, found) == (200, content)
        assert "content-encoding" not in headers
        kind = kinds.get(path.rpartition(".")[2], "text/html" if path == "/" else "application/octet-stream")
        assert headers["content-type"].split(";")[0] == kind
        status, packed, found = get(path, Accept_Encoding="gzip, br")
        assert (status, gzip.decompress(found) if "content-encoding" in packed else found) == (200, content)
        status, of_head, found = get(path, "HEAD")
        assert (status, found, of_head["content-length"]) == (200, b"", str(len(content)))
        assert get(path, If_None_Match=headers["etag"])[::2] == (304, b"")
        assert get(path, If_None_Match='"other"')[0] == 200
    assert get("/?lang=ru")[0] == 200


def test_packed_files_are_smaller_and_known_by_a_tag_of_their_own(get: Get) -> None:
    _, plain, whole = get(f"/model/{WEIGHTS}")
    _, packed, found = get(f"/model/{WEIGHTS}", Accept_Encoding="gzip")
    assert packed["content-encoding"] == "gzip"
    assert len(found) < len(whole)
    assert plain["etag"] != packed["etag"]
    assert get(f"/model/{WEIGHTS}", Accept_Encoding="gzip", If_None_Match=packed["etag"])[0] == 304


def test_every_answer_has_a_strict_policy(get: Get) -> None:
    for status, headers, _ in (get("/"), get("/none"), get("/", "POST", b"x"), get("/", Host="elsewhere")):
        assert status in (200, 400, 404, 405)
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers


OUTSIDE = (
    "/../pyproject.toml",
    "/static/../../server.py",
    "/..%2fserver.py",
    "/%2e%2e/server.py",
    "/%2e%2e%2fserver.py",
    "/%252e%252e/server.py",
    "/..%5cserver.py",
    "/..\\server.py",
    "/..%c0%afserver.py",
    "/ui/../../server.py",
    "/ui/../main.js",
    "/./main.js",
    "//main.js",
    "/main.js/",
    "/main.js%00.html",
    "/main.js;x=1",
    "/MAIN.JS",
    "/etc/passwd",
    "//etc/passwd",
    "/%2fetc%2fpasswd",
    "/file:///etc/passwd",
    "/model",
    "/model/",
    "/model/README.md",
    "/model/../config.json",
    "/jsconfig.json",
    "/~root",
    "/" + "a" * 20_000,
    "/" + "../" * 500,
)


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: path[:30])
def test_other_paths_are_not_found(send: Send, path: str) -> None:
    answer = send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert answer.split(b"\r\n")[0] in (b"HTTP/1.1 404 Not Found", b"HTTP/1.1 400 Bad Request")
    assert b"root:" not in answer
    assert b"import" not in answer


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get", "X", "A" * 1000]
)
def test_other_methods_are_not_allowed(send: Send, method: str) -> None:
    for path in ("/", "/none", "*", f"/model/{WEIGHTS}"):
        answer = send(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 405 ")
        assert b"\r\nallow: GET, HEAD\r\n" in answer.lower().replace(b"get, head", b"GET, HEAD")


def test_bodies_are_refused_unread(send: Send, get: Get) -> None:
    assert get("/", "GET", b"x")[0] == 400
    for _ in range(20):  # the answer is there however the parts of a request come
        assert get("/", "GET", b"x" * 500_000)[0] == 413
    head = "GET / HTTP/1.1\r\nHost: localhost\r\n"
    assert send(f"{head}Content-Length: 999999999999999\r\n\r\n".encode()).startswith(b"HTTP/1.1 413 ")
    assert send(f"{head}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n".encode()).startswith(b"HTTP/1.1 400 ")
    assert send(f"{head}Transfer-Encoding: chunked\r\n\r\nffffffff\r\nx".encode())[:12] in (b"", b"HTTP/1.1 400")
    assert send(f"{head}Expect: 100-continue\r\nContent-Length: 9\r\n\r\n".encode()).startswith(b"HTTP/1.1 400 ")
    assert send(f"{head}Content-Length: 0\r\n\r\n".encode()).startswith(b"HTTP/1.1 200 ")


GARBAGE = (
    b"\x00" * 100,
    b"\xff\xfe\xfd" * 50,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET\r\n\r\n",
    b"GET /\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET /\xff\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nbroken header\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n",
    b"GET http://elsewhere.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\r\n\r\n\r\n",
    b"",
)


@pytest.mark.parametrize("request_", GARBAGE, ids=lambda request: repr(request[:40]))
def test_garbage_gets_a_word_or_none_and_ends_nothing(send: Send, get: Get, request_: bytes) -> None:
    assert send(request_)[:10] in (b"", b"HTTP/1.1 4")
    assert get("/")[0] == 200


def test_a_websocket_is_none(send: Send) -> None:
    upgrade = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    answer = send(f"{upgrade}Sec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
    assert not answer.startswith(b"HTTP/1.1 101")


def test_a_page_from_elsewhere_cannot_read_the_model(get: Get, address: tuple[str, int], files: Files) -> None:
    """Neither by a name of its own that leads here, nor by headers that would let it."""
    for host in ("elsewhere.example", f"elsewhere.example:{address[1]}", "localhost.elsewhere.example", ""):
        assert get(f"/model/{CONFIG}", Host=host)[0] == 400
    for host in ("localhost", f"localhost:{address[1]}", "127.0.0.1", f"[::1]:{address[1]}"):
        assert get(f"/model/{CONFIG}", Host=host)[0] == 200
    assert not [name for name in get("/", Origin="http://elsewhere.example")[1] if name.startswith("access-control")]


def test_fifty_clients_at_once(address: tuple[str, int], files: Files) -> None:
    contents = {f"/{name}": text for name, text in static_files().items()} | {f"/model/{CONFIG}": files[CONFIG]}
    paths = list(contents)

    def client(number: int) -> int:
        connection = http.client.HTTPConnection(*address, timeout=60)
        right = 0
        for i in range(20):
            path = paths[(number + i) % len(paths)]
            connection.request("GET", path)
            right += connection.getresponse().read() == contents[path]
        connection.close()
        return right

    with ThreadPoolExecutor(50) as clients:
        assert list(clients.map(client, range(50))) == [20] * 50


def test_no_file_is_opened_to_answer(get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError(f"opened {args}")

    for name in ("open", "read_bytes", "read_text"):
        monkeypatch.setattr(Path, name, refuse)
    assert get("/")[0] == 200
    assert get("/none")[0] == 404


def test_ports_and_hosts_that_cannot_be_opened_are_named(address: tuple[str, int]) -> None:
    for host, port in (address, ("no such host.example", 0), ("192.0.2.1", 0), ("a" * 300, 0)):
        with pytest.raises(ValueError, match=rf"host={host} and port={port} cannot be opened \(.*leave port out"):
            server.listen(host, port)


def test_an_address_is_what_a_browser_here_calls_it() -> None:
    with server.listen("0.0.0.0", 0) as opened:
        assert server.address_of(opened) == f"http://127.0.0.1:{opened.getsockname()[1]}/"


def test_other_hosts_answer_to_any_name() -> None:
    """Where all networks are served, the machine has names that it does not know."""

    async def ask(host: str) -> int:
        sent: list[dict] = []

        async def send(message: dict) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", host.encode())]}
        await server.application({"index.html": b"x"}, {}, "0.0.0.0")(scope, None, send)
        return sent[0]["status"]

    with ThreadPoolExecutor(1) as thread:  # where no loop runs, as a browser's does
        assert thread.submit(lambda: asyncio.run(ask("lecture.example"))).result() == 200


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'linear-diffusion\[web\]'"):
        server.application({"index.html": b""}, {})


def test_the_configuration_is_json(get: Get) -> None:
    assert json.loads(get(f"/model/{CONFIG}")[2])["model"] == "LinearDiffusion"
