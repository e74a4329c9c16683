"""The stations prompt, encoder, noise and denoiser: used as a visitor would, and what is seen is what Python says."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from linear_diffusion import LinearDiffusion
from linear_diffusion.noise import SCHEDULES, Level
from linear_diffusion.utils.streams import start_noise
from linear_diffusion.utils.types import Array

Served = Callable[[LinearDiffusion], str]
SEED, PROMPT = 5, 3
NEAR = 0.51
"""Of a byte: what is painted is rounded."""
BYTES = """(tile) => {
    const { width, height } = tile;
    const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    copy.drawImage(tile, 0, 0);
    return [...copy.getImageData(0, 0, width, height).data];
}"""


@pytest.fixture(scope="module")
def digits(images: tuple[np.ndarray, np.ndarray]) -> LinearDiffusion:
    return LinearDiffusion(latent_dim=30, styles=4, random_state=0).fit(*images)


@pytest.fixture(scope="module")
def colours() -> LinearDiffusion:
    """One prompt, of floats in colour on a bright ground."""
    rng = np.random.default_rng(0)
    images = 1 - np.clip(rng.normal(0.4, 0.2, (200, 1, 1, 3)) * rng.uniform(0, 1, (200, 9, 6, 1)), 0, 1)
    images[:, [0, -1]] = images[:, :, [0, -1]] = 1
    return LinearDiffusion(latent_dim=12, styles=2, random_state=0).fit(images)


def opened(page: Any, address: str, **state: Any) -> Any:
    page.goto("about:blank")
    page.goto(address + "#" + "&".join(f"{name}={value}" for name, value in state.items()))
    page.wait_for_selector("html[data-ready]")
    return page


def state(page: Any, name: str) -> Any:
    return page.evaluate("(name) => window.linearDiffusion.state[name]", name)


def painted(tile: Any) -> Array:
    """The bytes of a grey tile, from top left."""
    return np.array(tile.evaluate(BYTES), float).reshape(-1, 4)[:, 0]


def tile(page: Any, name: str) -> Any:
    return page.get_by_role("img", name=name, exact=True)


def require_painted(tile: Any, pixels: Array) -> None:
    np.testing.assert_allclose(painted(tile), np.clip(pixels, 0, 255).ravel(), atol=NEAR)


def drawing_of(page: Any) -> Array:
    """What the address says is drawn, in pixels."""
    return np.array(
        page.evaluate(
            """async () => {
                const { unpackDrawing } = await import(new URL("ui/pad.js", location.href));
                const { model, state } = window.linearDiffusion;
                return [...unpackDrawing(model, state.drawing)];
            }"""
        )
    )


def draw(page: Any, *points: tuple[float, float]) -> None:
    """A stroke on the pad through points, in parts of its sides."""
    pad = page.get_by_role("application")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


def sample(model: LinearDiffusion, prompt: Any, index: int = 0) -> Array:
    """The picture that the page draws by default, (d,)."""
    *_, way = model.sample(index + 1, prompt, sampler="ddim", n_steps=50, random_state=SEED, return_trajectory=True)
    return way[-1, index].ravel().astype(float)


def noisy(model: LinearDiffusion, clean: Array, level: Level) -> tuple[Array, Array, Array]:
    """The latent of a picture, the noise that the first image of a call starts with, and the sum at a level."""
    z = model.encoder_.encode(clean[None])[0]
    eps = start_noise(SEED, 0, 1, len(z))[0].astype(float)
    return z, eps, level.alpha * z + level.sigma * eps


def numbers(text: str) -> list[float]:
    return [float(x) for x in re.findall(r"-?\d+(?:\.\d+)?(?:e[+-]\d+)?", text)]


def test_a_click_on_the_code_asks_for_its_prompt(
    page: Any, served: Served, digits: LinearDiffusion, images: tuple[np.ndarray, np.ndarray]
) -> None:
    opened(page, served(digits), view="prompt", seed=SEED)
    cells = page.get_by_role("group", name="The code").get_by_role("button")
    cells.nth(PROMPT).click()
    assert state(page, "prompt") == str(PROMPT)
    assert [cell.inner_text().split() for cell in cells.all()] == [[str(j), str(int(j == PROMPT))] for j in range(10)]
    assert cells.nth(PROMPT).get_attribute("aria-pressed") == "true"
    X, y = images
    latents = digits.transform(X)
    for j in (PROMPT, 8):
        require_painted(cells.nth(j).locator("canvas"), digits.encoder_.decode(latents[y == j].mean(0)))
    require_painted(tile(page, "Drawn of it"), sample(digits, PROMPT))


def test_two_prompts_are_mixed(
    page: Any, served: Served, digits: LinearDiffusion, images: tuple[np.ndarray, np.ndarray]
) -> None:
    opened(page, served(digits), view="prompt", prompt=PROMPT, seed=SEED)
    page.get_by_label("Another").select_option("8")
    page.get_by_label("Their shares").fill("0.4")
    assert state(page, "prompt") == "3:0.6 8:0.4"
    X, y = images
    means = [digits.transform(X[y == j]).mean(0) for j in (3, 8)]
    require_painted(tile(page, "Asked for"), digits.encoder_.decode(0.6 * means[0] + 0.4 * means[1]))
    for j, mean in zip((3, 8), means, strict=True):
        require_painted(tile(page, f"Mean of the training images of {j}"), digits.encoder_.decode(mean))
    require_painted(tile(page, "Drawn of it"), sample(digits, {3: 0.6, 8: 0.4}))
    page.get_by_label("Their shares").press("End")
    assert state(page, "prompt") == "8"
    page.get_by_label("Prompt", exact=False).first.fill("1:0.25 7:0.5 9:0.25")
    assert page.get_by_label("One prompt").input_value() == "7"
    assert page.get_by_label("Their shares").input_value() == "0.25"


def test_a_drawing_comes_back_through_components(page: Any, served: Served, digits: LinearDiffusion) -> None:
    opened(page, served(digits), view="encoder", components=10)
    draw(page, (0.3, 0.2), (0.7, 0.2), (0.4, 0.8))
    drawn, encoder = drawing_of(page), digits.encoder_
    assert drawn.min() == 0 and drawn.max() > 200 and 8 < (drawn > 100).sum() < 25
    z = encoder.encode(drawn[None])[0]
    back = page.get_by_role("img", name="What comes back", exact=True)
    for n in (10, 2, 30):
        page.get_by_role("button", name=f"Through {n} components", exact=True).click()
        assert state(page, "components") == n
        require_painted(back, encoder.decode(np.where(np.arange(30) < n, z, 0)))
        explained, _ = numbers(page.get_by_text("of the variance of the training images").inner_text())[1:]
        assert explained == pytest.approx(100 * encoder.ratio[:n].sum(), abs=0.05)
    shown = page.locator(".components .number").all_inner_texts()
    np.testing.assert_allclose([float(x) for x in shown], z, atol=0.0051)


def test_the_drawing_is_in_the_address_and_can_be_cleared(page: Any, served: Served, digits: LinearDiffusion) -> None:
    opened(page, served(digits), view="encoder", seed=SEED, prompt=PROMPT)
    page.get_by_role("button", name="Take a sample").click()
    second = sample(digits, PROMPT, 1)
    np.testing.assert_allclose(drawing_of(page), second, atol=255 / 51 / 2 + 1e-9)
    pad = page.get_by_role("application")
    np.testing.assert_allclose(painted(pad), drawing_of(page), atol=NEAR)
    link = page.evaluate("window.linearDiffusion.address")
    page.goto("about:blank")
    page.goto(link)
    page.wait_for_selector("html[data-ready]")
    np.testing.assert_allclose(painted(pad), second, atol=255 / 51 / 2 + NEAR)
    page.get_by_role("button", name="Clear").click()
    assert state(page, "drawing") == "" and not painted(pad).any()


def test_the_pad_is_drawn_on_by_keyboard(page: Any, served: Served, digits: LinearDiffusion) -> None:
    opened(page, served(digits), view="encoder")
    pad = page.get_by_role("application")
    pad.focus()
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    assert state(page, "drawing") == ""
    for key in ("Space", "ArrowDown", "ArrowDown", "Space", "ArrowRight", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    drawn = painted(pad).reshape(8, 8)
    assert drawn[3:6, 2].min() == 255 and drawn[:, 4:].max() == 0
    assert page.locator("[aria-live]").inner_text() == "The pen is up."


@pytest.mark.parametrize("name", SCHEDULES)
def test_picture_and_noise_are_added_up(page: Any, served: Served, digits: LinearDiffusion, name: str) -> None:
    opened(page, served(digits), view="noise", prompt=PROMPT, seed=SEED, schedule="flow" if name != "flow" else "")
    page.get_by_role("button", name=name, exact=True).click()
    page.get_by_label("Level of noise").fill("0.3")
    level = SCHEDULES[name].at([0.3])[0]
    assert numbers(page.locator(".levels").inner_text()) == pytest.approx(level, abs=5.1e-4)
    digits.set_params(schedule=name)
    clean = sample(digits, PROMPT)
    digits.set_params(schedule="cosine")
    z, eps, z_t = noisy(digits, clean, level)
    decode, directions = digits.encoder_.decode, digits.encoder_.to_pixels
    require_painted(tile(page, "picture"), decode(level.alpha * z))
    require_painted(tile(page, "noisy picture"), decode(z_t))
    np.testing.assert_allclose(decode(z_t), decode(level.alpha * z) + level.sigma * eps @ directions)
    page.get_by_role("button", name="t = 0.8").click()
    assert state(page, "level") == 0.8
    require_painted(tile(page, "noisy picture"), decode(noisy(digits, clean, SCHEDULES[name].at([0.8])[0])[2]))


@pytest.mark.parametrize("t", [0.0, 0.4, 1.0])
def test_the_noise_is_predicted(page: Any, served: Served, digits: LinearDiffusion, t: float) -> None:
    opened(page, served(digits), view="denoiser", prompt=PROMPT, seed=SEED)
    page.get_by_label("Level of noise").fill(str(t))
    level = SCHEDULES["cosine"].at([t])[0]
    z, eps, z_t = noisy(digits, sample(digits, PROMPT), level)
    decode = digits.encoder_.decode

    def predicted(prompt: int) -> tuple[Array, float]:
        z0 = digits.denoiser(prompt).z0(level)(z_t)
        eps_hat = (z_t - level.alpha * z0) / level.sigma if level.sigma else 0 * z
        return z0, float(np.sqrt(np.mean((eps_hat - eps) ** 2)))

    z0, error = predicted(PROMPT)
    require_painted(tile(page, "Noisy picture"), decode(z_t))
    require_painted(tile(page, "True picture"), decode(z))
    require_painted(tile(page, "Predicted picture"), decode(z0))
    said = numbers(page.get_by_text("Error of the predicted noise:").inner_text())
    assert [said[0], said[-1]] == pytest.approx([error, np.sqrt(np.mean((z0 - z) ** 2))], abs=5.1e-4)
    row = page.get_by_role("group", name="What if it were told")
    row.scroll_into_view_if_needed()
    shown = row.get_by_role("button")
    page.wait_for_timeout(100)
    for j in (0, 8):
        other, error = predicted(j)
        require_painted(shown.nth(j).locator("canvas"), decode(other))
        assert numbers(shown.nth(j).inner_text())[-1] == pytest.approx(error, abs=5.1e-4)
    shown.nth(8).click()
    assert state(page, "prompt") == "8"


def test_what_is_expected_is_what_noise_gives_on_average(page: Any, served: Served, digits: LinearDiffusion) -> None:
    opened(page, served(digits), view="denoiser", prompt=PROMPT, level=0.6)
    denoiser, level = digits.denoiser(PROMPT), SCHEDULES["cosine"].at([0.6])[0]
    rng = np.random.default_rng(0)
    z = rng.multivariate_normal(denoiser.mean, denoiser.covariance, 20000, method="eigh")
    eps = rng.standard_normal(z.shape)
    off = (level.alpha * (z - denoiser.z0(level)(level.alpha * z + level.sigma * eps))) / level.sigma
    said = numbers(page.get_by_text("Error of the predicted noise:").inner_text())
    assert said[2] == pytest.approx(np.sqrt(np.mean(off**2)), rel=0.01)


def test_a_drawing_goes_through_the_stations(page: Any, served: Served, digits: LinearDiffusion) -> None:
    opened(page, served(digits), view="noise", prompt=1, level=0)
    page.get_by_role("button", name="Draw one instead").click()
    assert state(page, "view") == "encoder"
    draw(page, (0.2, 0.5), (0.8, 0.5))
    drawn = drawing_of(page)
    came = digits.encoder_.decode(digits.encoder_.encode(drawn[None])[0])
    for tab, name in (("#tab-noise", "picture"), ("#tab-denoiser", "True picture")):
        page.locator(tab).click()
        require_painted(tile(page, name), came)
    page.get_by_role("button", name="Use the finished picture").click()
    assert state(page, "drawing") == ""


@pytest.mark.parametrize("view", ["prompt", "encoder", "noise", "denoiser"])
def test_one_prompt_in_colour(page: Any, served: Served, colours: LinearDiffusion, view: str) -> None:
    """The ground of its pad is the ground of its pictures, and the brush has any colour."""
    opened(page, served(colours), view=view)
    assert page.get_by_role("heading", level=2).is_visible()
    if view == "encoder":
        page.get_by_label("Colour").fill("#ff0000")
        draw(page, (3.5 / 6, 0.2), (3.5 / 6, 0.8))
        drawn = drawing_of(page).reshape(9, 6, 3)
        low, high = colours.decoder_.image.span
        assert (drawn[:, 0] == high).all() and (drawn[4, 3] == [high, low, low]).all()
