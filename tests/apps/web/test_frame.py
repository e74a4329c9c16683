"""What all views share: texts, languages, themes, the address, keys, and that anybody can read it."""

import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import linear_diffusion
from linear_diffusion import LinearDiffusion

Served = Callable[[LinearDiffusion], str]
STATIC = Path(linear_diffusion.__file__).parent / "apps" / "web" / "static"
VIEWS = ("prompt", "encoder", "noise", "denoiser", "sampler", "picture", "apart", "teach", "own")
LANGUAGES = {"en": "english", "ru": "russian"}
PARTS = "weights,sum,modes,change,draws,styles"
RAW = re.compile(r"(?:^|\s)(?!config\.json)[a-z]+(?:\.[a-z0-9]+)+(?=\s|$)|\{\w+\}")
"""A key whose text is missing, or a value that was not put in."""


@pytest.fixture(scope="module")
def digits(images: tuple[np.ndarray, np.ndarray]) -> LinearDiffusion:
    return LinearDiffusion(latent_dim=30, styles=4, random_state=0).fit(*images)


def opened(page: Any, address: str, **state: Any) -> Any:
    page.goto("about:blank")
    page.goto(address + "#" * bool(state) + "&".join(f"{name}={value}" for name, value in state.items()))
    page.wait_for_selector("html[data-ready]")
    return page


def until(page: Any, expression: str, seconds: float = 15) -> None:
    """Wait until it is true; `wait_for_function` would need a policy that lets strings be run."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"never: {expression}"
        page.wait_for_timeout(20)


def state_of(page: Any) -> dict[str, Any]:
    return page.evaluate("({ ...window.linearDiffusion.state })")


def test_both_languages_have_the_same_texts(page: Any, served: Served, digits: LinearDiffusion) -> None:
    opened(page, served(digits))
    english, russian = (
        page.evaluate(f"import(new URL('strings/{code}.js', location.href)).then((m) => m.{name})")
        for code, name in LANGUAGES.items()
    )
    assert english.keys() == russian.keys()
    for key, text in english.items():
        values = [sorted(re.findall(r"\{\w+\}", said)) for said in (text, russian[key])]
        assert text and russian[key] and values[0] == values[1], key
    latin = [key for key, text in russian.items() if len(text) > 30 and not re.search("[а-я]", text)]
    assert not latin, "these are not translated"


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(("lang", "theme"), [("en", "light"), ("ru", "dark")])
def test_every_view_is_read_by_anybody_on_any_screen(
    page: Any, served: Served, digits: LinearDiffusion, view: str, lang: str, theme: str
) -> None:
    """Its texts are there, nothing is wider than the screen, and the rules of axe-core hold, contrast among them."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
    opened(page, served(digits), view=view, lang=lang, theme=theme, parts=PARTS, tour=4 if view == "prompt" else 0)
    for width in (390, 1920, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert not RAW.findall(page.inner_text("body"))
    assert page.get_attribute("html", "lang") == lang
    assert page.get_by_role("tab", selected=True).count() == 1
    page.wait_for_timeout(200)
    found = axe.Axe().run(page).response["violations"]
    assert not [(rule["id"], [node["html"][:200] for node in rule["nodes"]]) for rule in found]


def test_an_address_reproduces_what_is_seen(page: Any, served: Served, digits: LinearDiffusion) -> None:
    asked = {"view": "denoiser", "prompt": "3:0.5 8:0.5", "seed": 7, "sampler": "heun", "steps": 12, "guidance": 2}
    opened(page, served(digits), **asked)
    page.get_by_role("tab", name="Sampler").click()
    until(page, "location.hash.includes('heun') && !location.hash.includes('view')")
    link, seen = page.url, page.evaluate("[...window.linearDiffusion.run().finished]")
    other = opened(page, link)
    assert state_of(other) | {"view": "denoiser"} == state_of(other) | asked
    assert other.evaluate("[...window.linearDiffusion.run().finished]") == seen


@pytest.mark.parametrize(
    "junk", ["view=%00", "seed=-1", "steps=1e9", "step=abc&level=7", "sampler=constructor&schedule=toString", "tour=99"]
)
def test_an_address_that_says_nothing_shows_a_page(
    page: Any, served: Served, digits: LinearDiffusion, junk: str
) -> None:
    for view in ("sampler", "noise", "apart"):
        opened(page, f"{served(digits)}#view={view}&{junk}")
        assert page.get_by_role("tab").count() == len(VIEWS)


def test_keys_go_along_the_stations(page: Any, served: Served, digits: LinearDiffusion) -> None:
    opened(page, served(digits), view="prompt")
    page.get_by_role("tab", name="Prompt").focus()
    for name in VIEWS[1:]:
        page.keyboard.press("ArrowRight")
        assert state_of(page)["view"] == name
    page.keyboard.press("ArrowRight")
    assert state_of(page)["view"] == "prompt"
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.id") == "tab-own"


def test_language_and_theme_are_switched_in_the_page(page: Any, served: Served, digits: LinearDiffusion) -> None:
    opened(page, served(digits), theme="light")
    page.get_by_role("button", name="Dark").click()
    assert page.get_attribute("html", "data-theme") == "dark"
    page.get_by_label("Language").select_option("ru")
    assert page.get_by_role("button", name="Экскурсия").is_visible()
    until(page, "location.hash.includes('lang=ru')")
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.get_attribute("html", "lang") == "ru" and page.get_attribute("html", "data-theme") == "dark"


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_tour_goes_through_the_views(page: Any, served: Served, digits: LinearDiffusion, lang: str) -> None:
    opened(page, served(digits), lang=lang)
    page.evaluate("window.linearDiffusion.player.play = () => {}")
    page.locator("header button.main").click()
    titles, views = [], []
    while page.locator(".tour").is_visible():
        titles.append(page.locator(".tour h3").inner_text())
        views.append(state_of(page)["view"])
        page.locator(".tour button.main").click()
    assert len(set(titles)) == len(titles) >= 12
    assert set(views) == set(VIEWS) - {"own"}
    assert not RAW.findall(" ".join(titles))


def test_draw_plays_from_noise_to_the_picture(page: Any, served: Served, digits: LinearDiffusion) -> None:
    opened(page, served(digits))
    page.get_by_label("Prompt, or a mix").fill("7")
    page.get_by_role("button", name="Draw", exact=True).click()
    until(page, "window.linearDiffusion.state.step > 3")
    until(page, "!window.linearDiffusion.player.playing")
    assert state_of(page)["step"] == 51


def test_the_types_of_the_modules_hold() -> None:
    """By TypeScript's compiler, which reads the comments."""
    npx = shutil.which("npx")
    if npx is None:
        pytest.skip("npx is not installed")
    tsc = [npx, "--yes", "--package", "typescript@5.9", "tsc"]
    if subprocess.run([*tsc, "--version"], capture_output=True, timeout=300).returncode:
        pytest.skip("typescript cannot be had from npm")
    done = subprocess.run([*tsc, "--project", str(STATIC / "jsconfig.json")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
