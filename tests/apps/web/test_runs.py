"""A run step by step, how many steps it takes, and what is taken along: clicked through, and held to Python."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image, ImageSequence

from linear_diffusion import LinearDiffusion
from linear_diffusion.noise import SCHEDULES
from linear_diffusion.sampler import SAMPLERS

Served = Callable[[LinearDiffusion], str]

NOISY = ".equation figure:nth-of-type(1) canvas"
"""Where the noisy picture is, and in the end the finished one."""


@pytest.fixture(scope="module")
def digits(images: tuple[np.ndarray, np.ndarray]) -> LinearDiffusion:
    """Bytes, with styles and both kinds of curves."""
    return LinearDiffusion(latent_dim=20, styles=4, random_state=0).fit(*images)


@pytest.fixture(scope="module")
def colours() -> LinearDiffusion:
    """Floats in colour, of unlike sides, without styles."""
    rng = np.random.default_rng(0)
    images = np.clip(rng.normal(0.5, 0.2, (200, 1, 1, 3)) + 0.1 * rng.standard_normal((200, 6, 9, 3)), 0, 1)
    return LinearDiffusion(latent_dim=12, styles=1, random_state=0).fit(images, np.repeat(["red", "sky blue"], 100))


def opened(page: Any, address: str, state: str = "") -> Any:
    page.goto("about:blank")
    page.goto(f"{address}#{state}")
    page.wait_for_selector("html[data-ready]")
    return page


def tile(page: Any, selector: str) -> np.ndarray:
    """The pixels of a canvas, (height, width, 3)."""
    width, data = page.eval_on_selector(
        selector,
        """(canvas) => {
            const { width, height } = canvas, copy = new OffscreenCanvas(width, height);
            const context = copy.getContext("2d", { willReadFrequently: true });
            context.drawImage(canvas, 0, 0);
            return [width, [...context.getImageData(0, 0, width, height).data]];
        }""",
    )
    return np.array(data, np.uint8).reshape(-1, width, 4)[..., :3]


def state(page: Any, name: str) -> Any:
    return page.evaluate(f"window.linearDiffusion.state.{name}")


def position(page: Any) -> int:
    return int(page.evaluate("window.linearDiffusion.player.position()"))


def grey(images: np.ndarray) -> np.ndarray:
    return np.repeat(images[..., None], 3, axis=-1)


def run_of(page: Any) -> dict[str, Any]:
    """The run that the page shows, in pixels as Python gives them."""
    found = page.evaluate(
        """() => {
            const { model } = window.linearDiffusion, run = window.linearDiffusion.run();
            return { way: run.z.slice(0, -1).map((z) => [...model.plain(z)]), finished: [...run.finished] };
        }"""
    )
    return {name: np.array(value) for name, value in found.items()}


def test_a_run_plays_from_noise_to_the_picture_that_python_draws(
    page: Any, served: Served, digits: LinearDiffusion
) -> None:
    images, _, way = digits.sample(1, "3", sampler="ddim", random_state=1, return_trajectory=True)
    opened(page, served(digits))
    page.get_by_label("Prompt", exact=False).first.fill("3")
    page.get_by_role("button", name="Draw", exact=True).click()
    assert page.evaluate("window.linearDiffusion.player.playing")
    page.wait_for_selector(".film li:last-child [aria-current]")
    assert position(page) == 51
    assert_allclose(tile(page, NOISY), grey(images[0]))
    for step in (0, 20, 49):
        page.evaluate(f"window.linearDiffusion.player.seek({step})")
        assert_allclose(tile(page, NOISY), grey(way[step, 0]))


def test_pictures_are_the_sum_that_the_signs_say(page: Any, served: Served, digits: LinearDiffusion) -> None:
    opened(page, served(digits), "prompt=5&steps=10&schedule=flow&step=4")
    levels = SCHEDULES["flow"].levels(10)
    numbers = page.locator(".equation .number").all_inner_texts()
    assert numbers == [f"{levels[4].sigma:.2f} ×", f"{levels[4].alpha:.2f} ×"]
    for sampler in ("ddim", "ddpm", "heun", "dpmpp_2m"):
        page.get_by_role("combobox", name="Sampler").select_option(sampler)
        step = SAMPLERS[sampler].step(levels[4], levels[5], levels[3], 0.0)
        terms = zip(
            (step.z, step.z0, step.previous, step.predicted, step.noise),
            ("z_t", "z0_hat", "z0_hat_before", "z0_hat_ahead", "eps"),
            strict=True,
        )
        text = " ".join(f"{'- ' if x < 0 else '+ '}{abs(x):.3f} {name}" for x, name in terms if x)
        assert page.locator(".next code").inner_text() == "z_s = " + text.removeprefix("+ ")


def test_the_player_goes_by_buttons_keys_and_the_filmstrip(page: Any, served: Served, digits: LinearDiffusion) -> None:
    opened(page, served(digits), "steps=20")
    page.locator("body").press("ArrowRight")
    page.locator("body").press("ArrowRight")
    page.locator("body").press("ArrowLeft")
    assert position(page) == 1
    page.keyboard.press(" ")
    assert page.evaluate("window.linearDiffusion.player.playing")
    page.keyboard.press(" ")
    assert not page.evaluate("window.linearDiffusion.player.playing")
    frames = page.locator(".film button")
    assert frames.count() == 10
    frames.nth(4).click()
    assert position(page) == 10
    assert frames.nth(4).get_attribute("aria-current") == "step"
    page.get_by_role("button", name="One step on").click()
    assert position(page) == 11
    page.keyboard.press("ArrowRight")  # belongs to the button that has the focus
    assert position(page) == 11
    page.get_by_role("slider", name="Step of the run").fill("21")
    assert position(page) == 21
    assert page.locator(".film button").last.get_attribute("aria-current") == "step"
    page.get_by_role("button", name="To the noise").click()
    assert position(page) == 0


def test_what_means_nothing_is_disabled_and_explained(page: Any, served: Served, digits: LinearDiffusion) -> None:
    opened(page, served(digits))
    sampler, guidance = page.get_by_role("combobox", name="Sampler"), page.get_by_role("slider", name="Guidance")
    negative, eta, steps = (
        page.get_by_label("Negative prompt"),
        page.get_by_role("slider", name="eta"),
        page.get_by_role("slider", name="Steps"),
    )
    assert eta.is_enabled()
    sampler.select_option("one-step")
    assert steps.is_disabled()
    assert eta.is_disabled()
    assert page.evaluate("window.linearDiffusion.run().nSteps") == 1
    sampler.select_option("exact")
    assert guidance.is_disabled()
    assert negative.is_disabled()
    assert "no closed form with guidance" in page.locator(".notes").inner_text()
    sampler.select_option("ddim")
    negative.fill("7")
    assert state(page, "guidance") == 2
    assert sampler.locator("option[value=exact]").is_disabled()
    guidance.fill("1")
    assert "changes nothing" in page.locator(".notes").inner_text()
    negative.fill("no such prompt")
    page.wait_for_selector("#ask-error:not([hidden])")
    negative.fill("")
    assert page.locator("#ask-error").is_hidden()
    page.get_by_role("combobox", name="Style").select_option("2")
    assert page.evaluate("window.linearDiffusion.run().component") == 2


@pytest.mark.parametrize("how", ["sampler=ddim", "sampler=dpmpp_2m&schedule=flow", "sampler=ddpm"])
def test_the_row_of_steps_is_what_python_finds(page: Any, served: Served, digits: LinearDiffusion, how: str) -> None:
    opened(page, served(digits), f"prompt=8&seed=3&{how}")
    page.wait_for_selector(".compare:not(:has([aria-busy]))")
    given, model = dict(part.split("=") for part in how.split("&")), digits
    model.set_params(schedule=given.get("schedule", "cosine"))
    exact = model.sample(1, "8", random_state=3)[0].astype(float)
    found = [model.sample(1, "8", sampler=given["sampler"], n_steps=n, random_state=3)[0] for n in (10, 50, 1000)]
    model.set_params(schedule="one-step")
    found = [model.sample(1, "8", sampler="one-step", random_state=3)[0], *found]
    model.set_params(schedule="cosine")
    off = [float(np.sqrt(((images - exact) ** 2).mean())) for images in found]
    shown = page.locator(".compare figcaption .quiet:not(.number)").all_inner_texts()
    assert_allclose([float(text.split()[2]) for text in shown[:4]], off, atol=0.051)
    assert_allclose(tile(page, ".compare figure:nth-of-type(5) canvas"), grey(exact[0]))


PYTHON = {
    "digits": [
        "prompt=7&sampler=exact&seed=5",
        "prompt=3:0.5 8:0.5&steps=10&style=1",
        "prompt=4&sampler=ddpm&steps=30&schedule=linear&seed=12",
        "prompt=1&sampler=one-step",
        "prompt=9&eta=0.5&steps=20&schedule=sigmoid",
        "prompt=2&guidance=2.5&negative=8:0.25 3:0.75&sampler=dpmpp_2m&steps=12",
        "prompt=0&sampler=exact&steps=7&schedule=flow",
        "prompt=0&negative=1&steps=50&schedule=one-step",
    ],
    "colours": ["prompt=sky blue&sampler=heun&schedule=karras&steps=15", "prompt=red&guidance=1.5"],
}


@pytest.mark.parametrize("name", PYTHON)
def test_the_python_of_a_picture_draws_that_picture(
    page: Any, served: Served, name: str, request: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = request.getfixturevalue(name)
    model.save_pretrained(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    opened(page, served(model))
    for how in PYTHON[name]:
        page.goto(f"{served(model)}#view=picture&{how}")  # the same document
        page.evaluate("() => new Promise(requestAnimationFrame)")
        code, found, names = page.locator("pre code").inner_text(), run_of(page), {}
        exec(code, names)
        way = names["trajectory"].reshape(len(names["trajectory"]), -1)
        spread = 255 if name == "digits" else 1
        assert_allclose(names["images"].ravel(), found["finished"], atol=1e-4 * spread, err_msg=code)
        assert_allclose(way[:-1], found["way"], atol=1e-4 * spread, err_msg=code)
    assert (tmp_path / "picture.png").exists()


def test_the_decoder_is_shown_step_by_step(page: Any, served: Served, digits: LinearDiffusion) -> None:
    opened(page, served(digits), "view=picture&prompt=6&sampler=exact&seed=2")
    image = digits.sample(1, "6", random_state=2)[0][0]
    assert page.locator(".equation figure:visible").count() == 3
    assert_allclose(tile(page, ".equation figure:nth-of-type(3) canvas"), grey(image))
    assert page.get_by_role("img", name="Plot of the tone curve").is_visible()


def test_sixteen_more_are_the_next_seeds_and_can_be_chosen(page: Any, served: Served, digits: LinearDiffusion) -> None:
    opened(page, served(digits), "view=picture&prompt=6&sampler=exact&seed=2")
    last = digits.sample(1, "6", random_state=18)[0][0]
    page.wait_for_selector(".sheet:not(:has([aria-busy]))")
    assert_allclose(tile(page, ".sheet button:last-child canvas"), grey(last))
    page.get_by_role("button", name="Seed 18", exact=True).click()
    assert state(page, "seed") == 18
    assert_allclose(tile(page, ".equation figure:nth-of-type(3) canvas"), grey(last))


def saved(page: Any, button: str) -> Image.Image:
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    return Image.open(io.BytesIO(download.value.path().read_bytes()))


def test_files_are_the_picture_and_the_run_in_whole_pixels(page: Any, served: Served, digits: LinearDiffusion) -> None:
    opened(page, served(digits), "view=picture&prompt=7&steps=20&seed=4")
    run = run_of(page)
    png = saved(page, "Save picture")
    assert png.size == (512, 512)
    assert_allclose(np.array(png.convert("L")), np.kron(run["finished"].reshape(8, 8), np.ones((64, 64))))
    gif = saved(page, "Save GIF of the run")
    frames = [np.array(frame.convert("L"), int) for frame in ImageSequence.Iterator(gif)]
    assert len(frames) == 22
    assert_allclose(frames[-1], np.kron(run["finished"].reshape(8, 8), np.ones((32, 32))))
    for frame, pixels in zip(frames, run["way"], strict=False):
        assert np.abs(frame - np.kron(pixels.reshape(8, 8), np.ones((32, 32)))).max() <= 1


def test_a_gif_in_colour_has_the_colours_of_each_frame(page: Any, served: Served, colours: LinearDiffusion) -> None:
    opened(page, served(colours), "view=picture&prompt=sky blue&steps=10")
    gif, found = saved(page, "Save GIF of the run"), run_of(page)["finished"].reshape(6, 9, 3)
    last = [np.array(frame.convert("RGB"), int) for frame in ImageSequence.Iterator(gif)][-1]
    assert gif.size == (252, 168)
    expected = np.kron(np.rint(255 * found), np.ones((28, 28, 1)))
    assert np.abs(last - expected).max() <= 1


GIFS = """async (rows) => {
    const { encodeGif } = await import(new URL("ui/gif.js", location.href));
    const frames = rows.map((rgb) => ({ rgb: Uint8Array.from(rgb), delay: 5 }));
    return [...encodeGif({ width: 61, height: 47, times: 2, frames })];
}"""


@pytest.mark.parametrize("kind", ["grey noise", "flat", "colour"])
def test_the_encoder_keeps_what_a_palette_can_hold(
    page: Any, served: Served, digits: LinearDiffusion, kind: str
) -> None:
    rng = np.random.default_rng(0)
    frames = np.zeros((2, 47, 61, 3), np.uint8)
    if kind == "grey noise":
        frames[...] = rng.integers(0, 256, (2, 47, 61, 1))
    elif kind == "colour":
        frames[...] = rng.integers(0, 256, (2, 200, 3))[np.arange(2)[:, None, None], rng.integers(0, 200, (2, 47, 61))]
    opened(page, served(digits))
    gif = Image.open(io.BytesIO(bytes(page.evaluate(GIFS, [frame.ravel().tolist() for frame in frames]))))
    found = [np.array(frame.convert("RGB")) for frame in ImageSequence.Iterator(gif)]
    for frame, expected in zip(found, frames, strict=kind != "flat"):  # Pillow joins frames that are equal
        assert (frame == np.kron(expected, np.ones((2, 2, 1), np.uint8))).all()


COPIED = """() => new Promise((resolve) => {
    const look = async () => {
        const text = await navigator.clipboard.readText();
        if (text.startsWith("from")) resolve(text);
        else setTimeout(look, 20);
    };
    look();
})"""


def test_the_link_and_the_code_are_copied_and_the_link_leads_back(
    browser: Any, served: Served, digits: LinearDiffusion
) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"], locale="en-GB")
    page = opened(context.new_page(), served(digits), "view=picture&prompt=7&steps=20&seed=4&sampler=heun")
    finished = run_of(page)["finished"]
    page.get_by_role("button", name="Copy link").click()
    page.get_by_text("Copied.").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    page.get_by_role("button", name="Copy Python").click()
    code = page.locator("pre code").inner_text()
    assert code == page.evaluate(COPIED)
    page.goto("about:blank")
    page.goto(link)
    page.wait_for_selector("html[data-ready]")
    assert_allclose(run_of(page)["finished"], finished)
    context.close()


def test_who_wants_less_motion_sees_the_end_at_once(browser: Any, served: Served, digits: LinearDiffusion) -> None:
    context = browser.new_context(reduced_motion="reduce", locale="en-GB")
    page = opened(context.new_page(), served(digits), "prompt=7&steps=20")
    page.get_by_role("button", name="Draw", exact=True).click()
    assert position(page) == 21
    assert not page.evaluate("window.linearDiffusion.player.playing")
    context.close()
