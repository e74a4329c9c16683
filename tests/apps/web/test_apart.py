"""What no neural model can show: every part of the view is used as a visitor would, and its numbers are Python's."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linear_diffusion import LinearDiffusion, research
from linear_diffusion.denoiser.regression import RegressionDenoiser
from linear_diffusion.noise import SCHEDULES, Level

Served = Callable[[LinearDiffusion], str]
PARTS = ["weights", "sum", "modes", "change", "draws", "styles"]
[LEVEL] = SCHEDULES["cosine"].at(np.array([0.5]))
START = """
    const apart = await import(new URL("math/apart.js", location.href));
    const { model } = window.linearDiffusion;
    const level = { alpha: given.alpha, sigma: given.sigma };
    const z = Float64Array.from(given.z ?? []);
    const prompt = model.prompts.indexOf("7");
    const gaussian = model.law(prompt).gaussian;
"""


@pytest.fixture(scope="module")
def styled(images: tuple[np.ndarray, np.ndarray]) -> LinearDiffusion:
    return LinearDiffusion(latent_dim=30, styles=6, random_state=0).fit(*images)


@pytest.fixture(scope="module")
def digits(images: tuple[np.ndarray, np.ndarray]) -> LinearDiffusion:
    """One Gaussian a prompt, whose numbers are exact; those of styles are merged in single precision by Python."""
    return LinearDiffusion(latent_dim=30, styles=1, random_state=0).fit(*images)


@pytest.fixture(scope="module")
def rounded(images: tuple[np.ndarray, np.ndarray]) -> LinearDiffusion:
    """With components in single precision, as models made small for the page have them: not quite orthonormal."""
    model = LinearDiffusion(latent_dim=30, styles=6, random_state=0).fit(*images)
    model.encoder_ = replace(model.encoder_, components=model.encoder_.components.astype(np.float32))
    return model


@pytest.fixture(scope="module")
def plain(images: tuple[np.ndarray, np.ndarray]) -> LinearDiffusion:
    """One Gaussian for one prompt."""
    x, y = images
    return LinearDiffusion(latent_dim=12, styles=1, random_state=0).fit(x[y == 7])


@pytest.fixture(scope="module")
def colours() -> LinearDiffusion:
    """In colour, of unlike sides."""
    rng = np.random.default_rng(0)
    x = np.clip(rng.normal(0.5, 0.2, (400, 1, 1, 3)) + 0.1 * rng.standard_normal((400, 6, 9, 3)), 0, 1)
    return LinearDiffusion(latent_dim=12, styles=3, random_state=0).fit(x, np.repeat(["red", "sky blue"], 200))


def opened(page: Any, address: str, state: str = "") -> Any:
    page.goto(f"{address}#view=apart&{state}")
    page.wait_for_selector("html[data-ready]")
    return page


def asked(page: Any, script: str, level: Level = LEVEL, **given: Any) -> Any:
    """What a script of the page gives back; it finds the module as `apart`, and what is given."""
    given |= {"alpha": level.alpha, "sigma": level.sigma}
    return page.evaluate(f"async (given) => {{ {START} {script} }}", given)


def part(page: Any, name: str) -> Any:
    return page.locator(f"details[data-part={name}]")


def pixels_of(canvas: Any) -> list[int]:
    """All bytes that a canvas shows."""
    found: list[int] = canvas.evaluate(
        """(from) => {
            const { width, height } = from;
            const copy = Object.assign(document.createElement("canvas"), { width, height });
            const context = copy.getContext("2d", { willReadFrequently: true });
            context.drawImage(from, 0, 0);
            return [...context.getImageData(0, 0, width, height).data];
        }"""
    )
    return found


def test_parts_open_in_their_order_and_a_link_opens_them_again(
    page: Any, served: Served, styled: LinearDiffusion
) -> None:
    opened(page, served(styled), "prompt=7&parts=")
    assert [shell.get_attribute("data-part") for shell in page.locator("details.part").all()] == PARTS
    assert page.locator("details.part[open]").count() == 0
    for name in PARTS:
        part(page, name).locator("summary").click()
        part(page, name).locator("canvas").first.wait_for()
        assert part(page, name).locator("summary p").inner_text().count(".") >= 2  # what is seen, and why
    page.wait_for_timeout(400)  # the address waits for the state to rest
    again = page.url
    page.goto("about:blank")
    page.goto(again)
    page.wait_for_selector("details[data-part=styles] canvas")
    assert page.locator("details.part[open]").count() == len(PARTS)
    part(page, "sum").locator("summary").click()
    assert page.locator("details.part[open]").count() == len(PARTS) - 1


def test_rows_of_the_matrix_are_those_of_python(page: Any, served: Served, digits: LinearDiffusion) -> None:
    opened(page, served(digits))
    encoder, index = digits.encoder_, 27
    kept = research.denoiser_map(digits.denoiser("7"), LEVEL).matrix
    noise = (np.eye(len(kept)) - LEVEL.alpha * kept) / LEVEL.sigma
    back = np.linalg.pinv(encoder.to_pixels)  # from noisy pixels to latents
    for output, matrix in (("clean", kept), ("noise", noise)):
        found = asked(
            page,
            "return [...apart.readingOf(model, gaussian, level, given.index, given.output)]",
            index=index,
            output=output,
        )
        assert_allclose(found, (back @ matrix.T @ encoder.to_pixels)[:, index], atol=1e-9)


def test_the_parts_of_predicted_noise_are_those_of_python(page: Any, served: Served, digits: LinearDiffusion) -> None:
    z = np.random.default_rng(1).standard_normal(30)
    found = asked(
        opened(page, served(digits)),
        """const found = apart.takeApart(model, gaussian, level, z, apart.meanBias(model, level));
           return Object.fromEntries(Object.entries(found).map(([name, pixels]) => [name, [...pixels]]));""",
        z=z.tolist(),
    )

    def eps_hat(prompt: str, z: np.ndarray) -> np.ndarray:
        noise: np.ndarray = (z - LEVEL.alpha * digits.denoiser(prompt).z0(LEVEL)(z[None])[0]) / LEVEL.sigma
        return noise

    def pixels(z: np.ndarray) -> np.ndarray:
        decoded: np.ndarray = z @ digits.encoder_.to_pixels
        return decoded

    biases = {str(prompt): eps_hat(str(prompt), np.zeros(30)) for prompt in digits.classes_}
    mean = digits.prior_.weights @ np.stack(list(biases.values()))
    for name, expected in {
        "total": eps_hat("7", z), "picture": eps_hat("7", z) - biases["7"], "prompt": biases["7"] - mean, "bias": mean
    }.items():  # fmt: skip
        assert_allclose(found[name], pixels(expected), atol=1e-9)
    assert_allclose(found["total"], np.sum([found[name] for name in ("picture", "prompt", "bias")], axis=0), atol=1e-9)


@pytest.mark.parametrize("state", ["prompt=7", "prompt=3:0.5 8:0.5&level=0.05&schedule=karras", "prompt=1&level=1"])
def test_the_sum_of_a_pixel_is_exact_under_the_pointer_and_the_keys(
    page: Any, served: Served, rounded: LinearDiffusion, state: str
) -> None:
    opened(page, served(rounded), f"parts=sum&{state}")
    shell = part(page, "sum")
    picker = shell.get_by_role("application").first
    shell.locator("[data-difference]").wait_for()
    said = []

    def require_exact() -> None:
        numbers = [
            shell.locator(f"output[data-term={name}]").inner_text() for name in ("total", "picture", "prompt", "bias")
        ]
        total, *terms = (float(number.replace("\N{MINUS SIGN}", "-")) for number in numbers)
        assert total == pytest.approx(sum(terms), abs=2e-3)  # of numbers with three digits
        assert abs(float(shell.locator("[data-difference]").get_attribute("data-difference"))) < 1e-9
        said.append(numbers)

    require_exact()
    box = picker.bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.6 * box["height"])
    require_exact()
    page.mouse.click(box["x"] + 0.6 * box["width"], box["y"] + 0.4 * box["height"])
    require_exact()
    page.mouse.move(0, 0)
    assert "pixel=28" in page.evaluate("window.linearDiffusion.address")
    picker.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    require_exact()
    assert "pixel=35" in page.evaluate("window.linearDiffusion.address")
    assert said[-1][0] in page.locator("[role=status][aria-live=polite]").last.inner_text()
    assert len({tuple(numbers) for numbers in said}) == len(said)


def test_modes_appear_when_python_says(page: Any, served: Served, digits: LinearDiffusion) -> None:
    opened(page, served(digits), "prompt=7&parts=modes&steps=20&step=10")
    levels = SCHEDULES["cosine"].levels(20)
    gains = np.array([research.denoiser_spectrum(digits.denoiser("7"), level)[0] for level in levels[:-1]])
    found = asked(
        page, "return apart.modesOf(gaussian).map((j) => apart.shareKept(gaussian.variances[j], level))", levels[10]
    )
    assert_allclose(found, gains[10], atol=1e-9)
    said = part(page, "modes").locator("ol.modes li").all_inner_texts()
    for mode, text in zip((0, 1, 3, 7, 15), said, strict=True):
        first = np.flatnonzero(gains[:, mode] >= 0.5)[0] if (gains[:, mode] >= 0.5).any() else 20
        assert f"step {first} on" in text
        assert f"{round(100 * gains[10, mode])} %" in text
    page.get_by_role("button", name="One step on").last.click()
    assert f"{round(100 * gains[11, 0])} %" in part(page, "modes").locator("ol.modes li").first.inner_text()
    shown = part(page, "modes").get_by_role("application")
    shown.focus()
    for key in ("ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    assert "mode=2" in page.evaluate("window.linearDiffusion.address")
    assert "step=12" in page.evaluate("window.linearDiffusion.address")
    assert "Mode 2" in part(page, "modes").locator("figcaption").last.inner_text()


def test_the_exact_draw_and_a_changed_weight_are_those_of_python(
    page: Any, served: Served, digits: LinearDiffusion
) -> None:
    z, move = np.random.default_rng(2).standard_normal((2, 30))
    found = asked(
        opened(page, served(digits)),
        """const j = apart.modesOf(gaussian)[2];
           const changed = apart.changed(gaussian, j, 4, Float64Array.from(given.move));
           return [gaussian, changed].map((one) => [...apart.exactDraw(one, z)]);""",
        z=z.tolist(),
        move=move.tolist(),
    )
    one = digits.denoiser("7")
    order = np.argsort(-one.variances)
    variances = one.variances.copy()
    variances[order[2]] *= 4
    for draw, own, mean in ((found[0], one.variances, one.mean), (found[1], variances, one.mean + move)):
        assert_allclose(draw, mean + (one.basis * np.sqrt(own)) @ (one.basis.T @ z), atol=1e-9)


def test_the_picture_follows_a_weight_that_is_changed(page: Any, served: Served, styled: LinearDiffusion) -> None:
    opened(page, served(styled), "prompt=7&parts=change")
    shell = part(page, "change")
    after, before = shell.locator("canvas").nth(2), shell.locator("canvas").nth(3)
    reset = shell.get_by_role("button", name="Back to what was learned")
    learned = pixels_of(before)
    assert pixels_of(after) == learned
    assert reset.is_disabled()
    shell.locator("input[type=range]").nth(1).fill("3")
    assert pixels_of(after) != learned
    assert "× 8.00" in shell.inner_text()
    assert shell.locator(".closed-form .changed").inner_text() == "λᵢ"
    reset.click()
    assert pixels_of(after) == learned
    pad = shell.get_by_role("application")
    pad.focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press(" ")
    painted = pixels_of(after)
    assert painted != learned
    assert shell.locator(".closed-form .changed").inner_text() == "μ"
    shell.get_by_role("button", name="Darker").click()
    box = pad.bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.5 * box["height"], steps=8)
    page.mouse.up()
    assert pixels_of(after) != painted
    assert len(page.evaluate("window.linearDiffusion.state.dabs").split(".")) > 4
    assert pixels_of(before) == learned
    reset.click()
    assert pixels_of(after) == learned


def test_sampled_training_is_that_of_python(page: Any, served: Served, styled: LinearDiffusion) -> None:
    """The same regression from the same moments, and the error that theory predicts, on average."""
    found = asked(
        opened(page, served(styled)),
        """const means = Float64Array.of(1, -2, 0.5);
           const variances = Float64Array.of(4, 1, 0.1);
           const errors = [];
           for (let seed = 0; seed < 300; seed++) {
               const one = new apart.DrawnTraining(means, variances, seed);
               errors.push([30, 300].map((n) => {
                   one.drawUntil(n);
                   return one.error(one.regression(one.moments(), level), level);
               }));
           }
           const one = new apart.DrawnTraining(means, variances, 7);
           one.drawUntil(2);
           const few = one.moments();
           one.drawUntil(50);
           const last = one.moments();
           const plain = ({ matrix, shift }) => ({ matrix: [...matrix], shift: [...shift] });
           return {
               errors, expected: [30, 300].map((n) => one.expectedError(n, level)), exact: plain(one.closedForm(level)),
               draws: { means: [...last.means], products: [...last.products] }, map: plain(one.regression(last, level)),
               few: one.error(one.regression(few, level), level), kept: one.kept.map(({ n }) => n),
           };""",
    )
    alpha, sigma = LEVEL
    means, products = np.array(found["draws"]["means"]), np.array(found["draws"]["products"]).reshape(6, 6)
    z0 = RegressionDenoiser(means, products - np.outer(means, means)).z0_map(LEVEL)
    assert_allclose(np.reshape(found["map"]["matrix"], (3, 3)), (np.eye(3) - alpha * z0.matrix) / sigma, atol=1e-9)
    assert_allclose(found["map"]["shift"], -alpha * z0.shift / sigma, atol=1e-9)
    exact = research.denoiser_map(research.gaussian([1.0, -2.0, 0.5], np.diag([4.0, 1.0, 0.1])), LEVEL)
    assert_allclose(
        np.reshape(found["exact"]["matrix"], (3, 3)), (np.eye(3) - alpha * exact.matrix) / sigma, atol=1e-12
    )
    assert_allclose(found["exact"]["shift"], -alpha * exact.shift / sigma, atol=1e-12)
    root_mean_square = np.sqrt((np.array(found["errors"]) ** 2).mean(axis=0))
    assert_allclose(root_mean_square, found["expected"], rtol=0.06)
    assert found["expected"][0] / found["expected"][1] == pytest.approx(np.sqrt(10), rel=0.15)
    assert np.isfinite(found["few"])
    assert found["kept"][0] == 1
    assert found["kept"][-1] == 43


def test_draws_are_added_live(page: Any, served: Served, styled: LinearDiffusion) -> None:
    page.emulate_media(reduced_motion="reduce")  # the way to 100,000 draws is shorter
    opened(page, served(styled), "prompt=7&parts=draws")
    shell = part(page, "draws")
    shell.get_by_role("button", name="One draw more").click()
    shell.get_by_text(re.compile(r"^Draws: 1\.")).wait_for()
    shell.get_by_role("button", name="Ten times as many draws").click()
    shell.get_by_text(re.compile(r"^Draws: 10\.")).wait_for()
    shell.get_by_role("button", name="Ten times as many draws").click()
    shell.get_by_text(re.compile(r"^Draws: 100\.")).wait_for()
    drawn, exact = shell.locator("canvas.tile").nth(0), shell.locator("canvas.tile").nth(1)

    def apart() -> float:
        return float(np.abs(np.subtract(pixels_of(drawn), pixels_of(exact), dtype=float)).mean())

    few = apart()
    shell.get_by_role("button", name="Run to 100,000").click()
    shell.get_by_text(re.compile(r"^Draws: 100,000\.")).wait_for()
    error, expected = map(float, re.findall(r"differ by (\S+) .* predicts (\S+)\.", shell.inner_text())[0])
    assert error == pytest.approx(expected, rel=0.2)
    assert apart() < few / 5
    shell.get_by_role("button", name="From the start").click()
    shell.get_by_text(re.compile(r"^Draws: 0\.")).wait_for()


def test_merged_styles_keep_mean_and_covariance(page: Any, served: Served, styled: LinearDiffusion) -> None:
    found = asked(
        opened(page, served(styled)),
        """const merging = new apart.Merging(model.law(prompt));
           return merging.counts.map((n) => merging.groups[n].map((group) => {
               const one = merging.gaussian(group);
               return { ...group, mean: [...one.mean], covariance: [...one.covariance()] };
           }));""",
    )
    mixture = styled.prior_.components(7)
    s, k = mixture.means.shape
    each = np.stack([mixture.component(j).covariance for j in range(s)])
    mean = mixture.shares @ mixture.means
    second = np.tensordot(mixture.shares, each + mixture.means[:, :, None] * mixture.means[:, None], 1)
    assert [len(groups) for groups in found] == [1, 2, 4, s]
    for groups in found:
        assert sorted(j for group in groups for j in group["styles"]) == list(range(s))
        shares = np.array([group["share"] for group in groups])
        means = np.array([group["mean"] for group in groups])
        covariances = np.array([group["covariance"] for group in groups]).reshape(-1, k, k)
        assert_allclose(shares @ means, mean, atol=1e-9)
        assert_allclose(np.tensordot(shares, covariances + means[:, :, None] * means[:, None], 1), second, atol=1e-5)


def test_styles_split_by_a_slider(page: Any, served: Served, styled: LinearDiffusion) -> None:
    opened(page, served(styled), "prompt=7&parts=styles")
    shell = part(page, "styles")
    slider = shell.locator("input[type=range]")
    seen = []
    for place, n in enumerate((1, 2, 4, 6)):
        slider.fill(str(place))
        assert slider.get_attribute("aria-valuetext") == str(n)
        assert shell.locator(".tiles figure").count() == n
        assert sum(
            float(text.split()[0]) for text in shell.locator(".tiles figcaption").all_inner_texts()
        ) == pytest.approx(100, abs=0.5)
        seen.append([pixels_of(canvas) for canvas in shell.locator(".twelve canvas").all()])
    assert len({str(pictures) for pictures in seen}) == 4
    sample = asked(page, """
        const { startRun } = await import(new URL("math/model.js", location.href));
        return [...model.unit(startRun(model, { prompt: "7", sampler: "exact", seed: 1 }).finished)];""")  # fmt: skip
    assert_allclose(seen[-1][0][::4], np.floor(255 * np.array(sample) + 0.5), atol=1)  # all styles are the model itself


@pytest.mark.parametrize("name", ["plain", "colours"])
@pytest.mark.parametrize("language", ["en", "ru"])
def test_other_models_and_languages(
    page: Any, served: Served, request: pytest.FixtureRequest, name: str, language: str
) -> None:
    """One prompt without styles, and pictures in colour."""
    page.set_viewport_size({"width": 390, "height": 844})
    model = request.getfixturevalue(name)
    opened(page, served(model), f"lang={language}&parts={','.join(PARTS)}&draws=50")
    for shell in PARTS:
        part(page, shell).scroll_into_view_if_needed()
        part(page, shell).locator("canvas, p").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert not re.search(r"apart\.[a-z]+|\{[a-z]+\}|NaN|undefined", page.locator(".apart").inner_text())
    assert ("styles=10" in part(page, "styles").inner_text()) == (name == "plain")
    assert page.locator("details[data-part=sum] select").count() == (name == "colours")
    exact = float(part(page, "sum").locator("[data-difference]").get_attribute("data-difference"))
    assert abs(exact) < 1e-9
