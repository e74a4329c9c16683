"""A real browser, and the real server of any model's page for it."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from linear_diffusion import LinearDiffusion
from linear_diffusion.apps.web import server
from linear_diffusion.apps.web.page import page_files, static_files


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
def images() -> tuple[np.ndarray, np.ndarray]:
    """Digits of 8 x 8 bytes, and what they show."""
    data = load_digits()
    return np.rint(data.images * 255 / 16).astype(np.uint8), data.target


@pytest.fixture(scope="session")
def served() -> Iterator[Callable[[LinearDiffusion], str]]:
    """The address of a model's page, as `linear-diffusion app` serves it."""
    pytest.importorskip("uvicorn", reason="the extra web is not installed")
    addresses: dict[int, tuple[LinearDiffusion, str]] = {}
    with ExitStack() as stack:

        def address(model: LinearDiffusion) -> str:
            if id(model) not in addresses:
                opened = stack.enter_context(server.listen("127.0.0.1", 0))
                running = server.server(server.application(static_files(), page_files(model)))
                thread = threading.Thread(target=running.run, args=([opened],), daemon=True)
                thread.start()
                stack.callback(thread.join)
                stack.callback(setattr, running, "should_exit", True)
                addresses[id(model)] = model, server.address_of(opened)
            return addresses[id(model)][1]

        yield address
