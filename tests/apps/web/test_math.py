"""The page's mathematics against Python's: one number by two programs."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from linear_diffusion import LinearDiffusion
from linear_diffusion.apps.arguments import parse_prompt
from linear_diffusion.noise import SCHEDULES
from linear_diffusion.sampler import SAMPLERS
from linear_diffusion.utils.streams import stream

Served = Callable[[LinearDiffusion], str]
DRAW = """async (requests) => {
    const { startRun } = await import(new URL("math/model.js", location.href));
    const { model } = window.linearDiffusion;
    return requests.map((request) => {
        const run = startRun(model, request);
        return { way: run.z.map((z) => [...model.plain(z)]), finished: [...run.finished] };
    });
}"""


@pytest.fixture(scope="module")
def digits(images: tuple[np.ndarray, np.ndarray]) -> LinearDiffusion:
    """Bytes, with styles and both kinds of curves."""
    return LinearDiffusion(latent_dim=30, styles=6, random_state=0).fit(*images)


@pytest.fixture(scope="module")
def colours() -> LinearDiffusion:
    """Floats in colour, of unlike sides, with styles."""
    rng = np.random.default_rng(0)
    images = np.clip(rng.normal(0.5, 0.2, (400, 1, 1, 3)) + 0.1 * rng.standard_normal((400, 6, 9, 3)), 0, 1)
    return LinearDiffusion(latent_dim=12, styles=3, random_state=0).fit(images, np.repeat(["red", "sky blue"], 200))


@pytest.fixture(scope="module")
def page(browser: Any) -> Iterator[Any]:
    """One tab for all: nothing that is asked here changes the page, but for prompts that are typed."""
    page = browser.new_page(locale="en-GB")
    yield page
    page.close()


def opened(page: Any, served: Served, model: LinearDiffusion) -> Any:
    if not page.url.startswith(served(model)):
        page.goto(served(model))
        page.wait_for_selector("html[data-ready]")
    return page


def drawn_by_python(model: LinearDiffusion, request: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The way of an image, (n + 1, d), and the finished picture, of the request that the page is given."""
    prompt = parse_prompt(request["prompt"], model.classes_.astype(str).tolist())
    index, sampler = request.get("index", 0), request.get("sampler", "exact")
    model.set_params(schedule=request.get("schedule", "cosine"))
    *_, way = model.sample(
        index + 1,
        prompt,
        sampler=sampler,
        n_steps=None if sampler == "one-step" else request.get("nSteps"),
        eta=request.get("eta", 0.0),
        guidance_scale=request.get("guidanceScale", 1.0),
        negative_prompts=request.get("negative"),
        styles=int(request["style"]) if "style" in request else None,
        random_state=request["seed"],
        return_trajectory=True,
    )
    model.set_params(schedule="cosine")
    way = way[:, index].reshape(len(way), -1)
    return way[:-1], way[-1]


def require_same(page: Any, served: Served, model: LinearDiffusion, requests: list[dict[str, Any]]) -> None:
    """To 1e-4 of the range. Python makes the styles' directions in single precision, so that of a thousand bytes one
    may be rounded the other way, and a pixel in ten thousand may take the next entry of a tone curve."""
    image = model.decoder_.image
    low, high = image.pixel_range
    for request, found in zip(requests, opened(page, served, model).evaluate(DRAW, requests), strict=True):
        way, finished = drawn_by_python(model, request)
        off_way, off = abs(np.array(found["way"][:-1]) - way), abs(np.array(found["finished"]) - finished)
        near = 1e-4 * (high - low)
        assert off_way.max() <= (1 if image.dtype == "uint8" else near), request
        assert (off_way > near).mean() < 1e-3 and (off > near).sum() <= 1e-4 * off.size + 1, request


@pytest.mark.parametrize("sampler", ["exact", *SAMPLERS])
def test_every_sampler_on_every_schedule(page: Any, served: Served, digits: LinearDiffusion, sampler: str) -> None:
    requests = [{"prompt": "7", "sampler": sampler, "schedule": name, "nSteps": 10, "seed": 3} for name in SCHEDULES]
    require_same(page, served, digits, requests)


def test_guidance_mixes_styles_and_noise_in_the_steps(page: Any, served: Served, digits: LinearDiffusion) -> None:
    ddim = {"sampler": "ddim", "nSteps": 20, "seed": 4}
    require_same(
        page,
        served,
        digits,
        [
            {"prompt": "3:0.5 8:0.5", "sampler": "exact", "nSteps": 20, "seed": 4},
            ddim | {"prompt": "5", "guidanceScale": 2},
            ddim | {"prompt": "5", "guidanceScale": 3, "negative": "3"},
            ddim | {"prompt": "2:0.7 9:0.3", "guidanceScale": 0.5},
            ddim | {"prompt": "2", "eta": 0.5, "style": "3"},
            {"prompt": "4", "sampler": "ddpm", "nSteps": 50, "seed": 5, "guidanceScale": 2},
            {"prompt": "2", "sampler": "ddpm", "nSteps": 1000, "seed": 99_999},
            {"prompt": "0", "sampler": "ddpm", "nSteps": 10, "seed": 2**40 + 1, "index": 7},
        ],
    )


def test_colours_floats_and_names_of_several_words(page: Any, served: Served, colours: LinearDiffusion) -> None:
    ddim = {"sampler": "ddim", "nSteps": 10, "seed": 1}
    require_same(
        page,
        served,
        colours,
        [
            ddim | {"prompt": "sky blue"},
            ddim | {"prompt": "sky blue:0.25 red:0.75", "eta": 1},
            ddim | {"prompt": "red", "guidanceScale": 1.5, "negative": "sky blue"},
        ],
    )


def test_random_numbers_are_those_of_numpy(page: Any, served: Served, digits: LinearDiffusion) -> None:
    """Enough of them that the tails of the ziggurat are met, some hundred times."""
    found = opened(page, served, digits).evaluate(
        """async () => {
            const { Stream } = await import(new URL("math/streams.js", location.href));
            const draw = (stream, name) => Array.from({ length: 100000 }, () => stream[name]());
            const normal = draw(new Stream(2 ** 50 + 1, 1, 0, 5), "normal");
            return [draw(new Stream(7, 0, 3), "normal32"), normal, draw(new Stream(0, 4, 2), "random")];
        }"""
    )
    n = 100_000
    single = stream(7, 0, 3).standard_normal(n, dtype=np.float32)
    np.testing.assert_allclose(found[0], single, rtol=1e-6)
    assert (found[0] != single).mean() < 1e-3  # in the tails alone, where logarithms are of single precision there
    np.testing.assert_allclose(found[1], stream(2**50 + 1, 1, 0, 5).standard_normal(n), rtol=1e-12)
    assert np.array_equal(found[2], stream(0, 4, 2).random(n))


def test_eigenvectors_are_those_of_numpy(page: Any, served: Served, digits: LinearDiffusion) -> None:
    rng = np.random.default_rng(0)
    for k in (1, 2, 3, 40):
        square = rng.standard_normal((k, max(k - 1, 1)))
        matrix = square @ square.T  # without full rank
        values, vectors = opened(page, served, digits).evaluate(
            """async ([a, k]) => {
                const { eigh } = await import(new URL("math/linalg.js", location.href));
                const { values, vectors } = eigh(Float64Array.from(a), k);
                return [[...values], [...vectors]];
            }""",
            [matrix.ravel().tolist(), k],
        )
        basis = np.reshape(vectors, (k, k))
        np.testing.assert_allclose(values, np.linalg.eigvalsh(matrix), atol=1e-12 * k)
        np.testing.assert_allclose(basis @ basis.T, np.eye(k), atol=1e-13 * k)
        np.testing.assert_allclose((basis * values) @ basis.T, matrix, atol=1e-12 * k)


@pytest.mark.parametrize("prompt", ["x", "3:0.5 8:0.2", "3:2 8:-1", "3:0.5 x:0.5", ":"])
def test_what_is_no_prompt_is_said_and_the_last_picture_stays(
    page: Any, served: Served, digits: LinearDiffusion, prompt: str
) -> None:
    opened(page, served, digits)
    page.get_by_label("Prompt, or a mix").fill(prompt)
    assert page.get_by_role("alert").inner_text()
    assert len(page.evaluate("window.linearDiffusion.run().finished")) == 64
    page.get_by_label("Prompt, or a mix").fill("3:0.5 8:0.5")
    assert not page.get_by_role("alert").is_visible()
