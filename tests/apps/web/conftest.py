"""A real browser, and the page of any model for it."""

import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import linear_diffusion
from linear_diffusion import LinearDiffusion

STATIC = Path(linear_diffusion.__file__).parent / "apps" / "web" / "static"
KINDS = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".json": "application/json"}
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'"


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium; tests are skipped where it or playwright is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("the browser chromium is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A fresh tab, whose console must stay empty."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, locale="en-GB")
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page
    page.close()
    assert said == []


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[LinearDiffusion], str]]:
    """The address of a model's page: its static files, and the two files of the model."""
    folders: dict[int, tuple[LinearDiffusion, Path]] = {}

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            number, _, name = self.path.split("?")[0].lstrip("/").partition("/")
            folder = folders[int(number)][1]
            if name == "model/model.safetensors":
                path = next(folder.glob("*.safetensors"))
            else:
                path = folder / "config.json" if name == "model/config.json" else STATIC / (name or "index.html")
            content = path.read_bytes() if path.is_file() else b""
            self.send_response(200 if path.is_file() else 404)
            self.send_header("Content-Type", KINDS.get(path.suffix, "application/octet-stream"))
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Content-Security-Policy", POLICY)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def address(model: LinearDiffusion) -> str:
        if id(model) not in folders:
            folder = tmp_path_factory.mktemp("model")
            model.save_pretrained(folder)
            folders[id(model)] = (model, folder)
        return f"http://127.0.0.1:{server.server_port}/{id(model)}/"

    yield address
    server.shutdown()
