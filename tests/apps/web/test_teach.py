"""Teaching the page a symbol, and models taken in and out of it, held to Python's numbers."""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from linear_diffusion import LinearDiffusion, Moments, operators
from linear_diffusion.denoiser.gaussian import GaussianDenoiser
from linear_diffusion.noise import Level

Served = Callable[[LinearDiffusion], str]
NU = 10.0
"""How many drawings what all styles share is worth."""
HEARTS = """async (count) => {
    const at = (path) => import(new URL(path, location.href));
    const [{ heart }, { packDrawing, unpackDrawing }] = [await at("ui/hearts.js"), await at("ui/pad.js")];
    const { base } = window.linearDiffusion;
    const codes = Array.from({ length: count }, (_, i) => packDrawing(base, heart(base, i)));
    return { codes, pixels: codes.map((code) => [...unpackDrawing(base, code)]) };
}"""

DRAWN = "lessons.picturesOf(app.base, lessons.readLessons(app.state.taught)[0])"
SUMS = f"teach.momentsOfPictures(app.base, {DRAWN})"


@pytest.fixture(scope="module")
def digits() -> LinearDiffusion:
    """Bytes, with styles and both kinds of curves."""
    data = load_digits()
    images = np.rint(np.kron(data.images, np.ones((2, 2))) * 255 / 16).astype(np.uint8)
    return LinearDiffusion(latent_dim=30, styles=4, random_state=0).fit(images, data.target)


@pytest.fixture(scope="module")
def colours() -> LinearDiffusion:
    """Floats in colour on white, standardised, one Gaussian a prompt."""
    rng = np.random.default_rng(0)
    images = np.ones((300, 9, 7, 3))
    images[:, 2:7, 2:5] = rng.uniform(0, 0.6, (300, 1, 1, 3))
    images = np.clip(images + 0.03 * rng.standard_normal(images.shape), 0, 1)
    model = LinearDiffusion(latent_dim=12, styles=1, standardize=True, random_state=0)
    return model.fit(images, np.repeat(["red", "sky blue"], 150))


def opened(page: Any, address: str, **state: Any) -> Any:
    page.goto("about:blank")
    page.goto(address + "#" + "&".join(f"{name}={value}" for name, value in state.items()))
    page.wait_for_selector("html[data-ready]")
    return page


def ask(page: Any, expression: str, argument: Any = None) -> Any:
    """What an expression of the modules and of the app gives."""
    modules = """
        const at = (path) => import(new URL(path, location.href));
        const [model, teach, restore, save, tensors, lessons] = await Promise.all(["math/model.js", "math/teach.js",
            "math/restore.js", "math/save.js", "math/safetensors.js", "ui/lessons.js"].map(at));
        const app = window.linearDiffusion;"""
    return page.evaluate(f"async (given) => {{ {modules} return {expression}; }}", argument)


def hearts(page: Any, count: int) -> tuple[list[str], np.ndarray]:
    """The codes of drawings, and their pixels (count, d)."""
    found = page.evaluate(HEARTS, count)
    return found["codes"], np.array(found["pixels"], np.float64)


def taught(page: Any, served: Served, model: LinearDiffusion, count: int, **state: Any) -> np.ndarray:
    """Open the view with a heart of so many drawings; their pixels."""
    opened(page, served(model), view="teach")
    codes, pixels = hearts(page, count)
    set_state(page, taught="heart." + ".".join(codes), prompt="heart", **state)
    return pixels


def set_state(page: Any, **state: Any) -> None:
    page.evaluate("(state) => window.linearDiffusion.set(state)", state)


def downloaded(page: Any, folder: Path) -> LinearDiffusion:
    """The page's model as Python reads it."""
    page.get_by_role("tab", name="Your model").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the model").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert archive.testzip() is None
        archive.extractall(folder)
    return LinearDiffusion.from_pretrained(folder / "model")


def latent_moments(model: LinearDiffusion, pixels: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Count, mean and scatter of latents, from the moments of pixels."""
    moments = Moments.of(pixels, np.zeros(len(pixels), np.intp), np.array(["heart"]))
    encoder = model.encoder_
    to_latent = encoder.components * (encoder.scale / encoder.std)
    return moments.counts[0], encoder.encode(moments.means)[0], to_latent @ moments.scatter[0] @ to_latent.T


def shared_covariance(model: LinearDiffusion) -> np.ndarray:
    """The mean of all styles' covariances, by their frequencies."""
    out = np.zeros((model.latent_dim_, model.latent_dim_))
    for j, weight in enumerate(model.prior_.weights):
        law = model.prior_.law(j)
        within = np.diag(law.variances) + np.einsum("s,skr,slr->kl", law.shares, law.factors, law.factors, dtype=float)
        out += weight * (law.basis @ within @ law.basis.T)
    return out


def test_drawings_become_the_moments_of_python(page: Any, served: Served, digits: LinearDiffusion) -> None:
    pixels = taught(page, served, digits, 4)
    n, mean, scatter = latent_moments(digits, pixels)
    found = ask(page, f"(({{count, mean, scatter}}) => [count, [...mean], [...scatter]])({SUMS})")
    assert found[0] == n == 4
    np.testing.assert_allclose(found[1], mean, rtol=0, atol=1e-12 * np.abs(mean).max())
    np.testing.assert_allclose(np.reshape(found[2], scatter.shape), scatter, rtol=0, atol=1e-12 * scatter.max())


def test_its_law_is_drawn_to_what_all_styles_share(page: Any, served: Served, digits: LinearDiffusion) -> None:
    pixels = taught(page, served, digits, 3)
    n, mean, scatter = latent_moments(digits, pixels)
    covariance = (scatter + NU * shared_covariance(digits)) / (n + NU)
    law = ask(page, "(({mean, gaussian}) => [[...mean], [...gaussian.covariance()]])(app.model.law(10))")
    np.testing.assert_allclose(law[0], mean, rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.reshape(law[1], covariance.shape), covariance, rtol=0, atol=1e-6 * covariance.max())
    z, level = np.random.default_rng(0).standard_normal(len(mean)), Level(0.6, 0.8)
    found = ask(
        page, "[...app.model.law(10).gaussian.z0({ alpha: 0.6, sigma: 0.8 }, Float64Array.from(given))]", z.tolist()
    )
    expected = GaussianDenoiser.from_covariance(mean, covariance).z0(level)(z[None])[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_symbol_is_drawn_with_the_mouse_and_learned(page: Any, served: Served, digits: LinearDiffusion) -> None:
    opened(page, served(digits), view="teach")
    page.get_by_label("Name of the symbol").fill("arrow")
    page.get_by_role("button", name="Add this drawing").click()
    assert "empty" in page.get_by_role("alert").all_inner_texts()[-1]
    for number in (1, 2):
        box = page.get_by_label("Pad for the symbol").bounding_box()
        x, y, side = box["x"], box["y"], box["width"]
        page.mouse.move(x + 0.2 * side, y + 0.5 * side)
        page.mouse.down()
        page.mouse.move(x + 0.8 * side, y + (0.4 + 0.1 * number) * side, steps=5)
        page.mouse.up()
        page.get_by_role("button", name="Add this drawing").click()
        assert page.get_by_role("button", name="Take back").count() == number
    drawn = ask(page, f"{DRAWN}.map((x) => [...x.pixels])")
    for picture in np.reshape(drawn, (2, 16, 16)):
        assert picture[6:12, 4:12].max(axis=0).min() > 150 and picture[[0, -1]].max() == 0
    state = page.evaluate("({ ...window.linearDiffusion.state })")
    assert (state["prompt"], page.evaluate("linearDiffusion.model.prompts.at(-1)")) == ("arrow", "arrow")
    assert page.get_by_role("heading", name="What it draws for “arrow”").is_visible()
    page.get_by_text("your 2 drawings count 17 %").wait_for()


def test_a_symbol_is_drawn_with_the_keyboard_too(page: Any, served: Served, digits: LinearDiffusion) -> None:
    opened(page, served(digits), view="teach")
    page.get_by_label("Pad for the symbol").focus()
    for key in (" ", *["ArrowRight"] * 5, " "):
        page.keyboard.press(key)
    page.get_by_role("button", name="Add this drawing").press("Enter")
    back = page.get_by_role("button", name="Take back drawing 1")
    back.press("Enter")
    assert page.get_by_role("button", name="Take back").count() == 0
    assert page.evaluate("[linearDiffusion.state.taught, linearDiffusion.model === linearDiffusion.base]") == ["", True]
    assert page.evaluate("document.activeElement.tagName") == "INPUT"


def test_a_drawing_that_is_taken_back_leaves_nothing(page: Any, served: Served, digits: LinearDiffusion) -> None:
    taught(page, served, digits, 5)
    names = "[...app.model.parts.arrays].map(([name, { bytes }]) => [name, save.sha256(bytes)]).sort()"
    page.get_by_role("button", name="Take back drawing 5").click()
    after = ask(page, names)
    assert re.search(
        r"differ by (0e\+0|\de-1[5-9]) from", page.get_by_text("Taken back; 4 are left.").first.inner_text()
    )
    set_state(page, taught="heart." + ".".join(hearts(page, 4)[0]), lesson=1)  # made anew
    assert after == ask(page, names)
    sums = ask(page, """(() => {
        const drawn = given.map((pixels) => teach.encoded(app.base, Float64Array.from(pixels)));
        const sum = new teach.Moments(app.base.k);
        for (const { z, discarded } of drawn) sum.include(z, discarded);
        for (const { z, discarded } of drawn.slice(1, 4)) sum.exclude(z, discarded);
        const never = new teach.Moments(app.base.k);
        for (const { z, discarded } of [drawn[0], drawn[4]]) never.include(z, discarded);
        return [sum, never].map(({ count, mean, scatter, discarded }) => [count, [...mean], [...scatter], discarded]);
    })()""", hearts(page, 5)[1].tolist())  # fmt: skip
    for left, never in zip(*sums, strict=True):
        np.testing.assert_allclose(left, never, rtol=0, atol=1e-12 * np.abs(never).max())


@pytest.mark.parametrize("kind", ["digits", "colours"])
def test_the_download_is_a_model_of_the_same_pictures(
    page: Any, served: Served, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    base = request.getfixturevalue(kind)
    pixels = taught(page, served, base, 3)
    model, other = downloaded(page, tmp_path), str(base.classes_[-1])
    assert [str(c) for c in model.classes_] == [*map(str, base.classes_), "heart"]
    assert model.n_images_ == base.n_images_ + 3
    asked: list[tuple[str, Any, str]] = [
        ("heart", "heart", "exact"), (f"heart:0.5 {other}:0.5", {"heart": 0.5, other: 0.5}, "exact"),
        ("heart", "heart", "ddim"), (other, other, "ddim"),
    ]  # fmt: skip
    for text, prompts, sampler in asked:
        request_ = {"prompt": text, "sampler": sampler, "seed": 5, "index": 1, "nSteps": 10}
        found = ask(page, "[...model.startRun(app.model, given).finished]", request_)
        *_, way = model.sample(2, prompts, sampler=sampler, n_steps=10, random_state=5, return_trajectory=True)
        span = 255 if kind == "digits" else 1
        off = np.abs(found - way[-1, 1].ravel().astype(float))
        assert (off > 1e-4 * span).sum() <= 1  # a tie of rounding
    mean = model.encoder_.encode(pixels).mean(axis=0)
    np.testing.assert_allclose(model.prior_.means[-1], mean, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["digits", "colours"])
def test_hidden_pixels_and_noise_are_restored_as_in_python(
    page: Any, served: Served, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    base = request.getfixturevalue(kind)
    pixels = taught(page, served, base, 3)
    model, shape = downloaded(page, tmp_path), base.image_shape_
    span, rng = (255 if kind == "digits" else 1), np.random.default_rng(0)
    drawing, hidden = pixels[1], np.zeros(shape, bool)
    hidden[:, shape[1] // 2 :] = True
    given = {"drawing": drawing.tolist(), "hidden": hidden.ravel().tolist()}
    law = "restore.pixelLaw(app.model, app.model.prompts.length - 1)"
    found = ask(
        page, f"[...restore.inpainter(app.model, {law}, given.hidden)(Float64Array.from(given.drawing))]", given
    )
    expected = model.restore(drawing.reshape(1, *shape), operators.inpaint(hidden), prompts="heart", exact=True)
    np.testing.assert_allclose(found, expected.ravel(), rtol=0, atol=1e-6 * span)
    if kind == "colours":  # noise is alike in all directions of standardised pixels; Python's is so in pixels
        return
    noisy = drawing + 60 * rng.standard_normal(len(drawing))
    found = ask(page, f"[...restore.denoised(app.model, {law}, Float64Array.from(given), 60)]", noisy.tolist())
    expected = model.denoise(noisy.reshape(1, *shape), 60.0, prompts="heart", exact=True)
    np.testing.assert_allclose(found, expected.ravel(), rtol=0, atol=1e-6 * span)


def test_a_link_reproduces_what_was_taught(page: Any, served: Served, digits: LinearDiffusion) -> None:
    taught(page, served, digits, 3, seed=4)
    page.get_by_role("button", name="Another symbol").click()
    assert page.get_by_label("Name of the symbol").input_value() == "star"
    page.get_by_role("button", name=re.compile("hearts for me")).click()
    milliseconds = int(re.findall(r"in (\d+) ms", page.locator(".lesson").inner_text())[0])
    assert milliseconds < 2000  # the aim is under 100 with a hundred components; this is against what is slow by far
    page.get_by_role("button", name="heart (3)").click()
    page.get_by_role("button", name="Draw half and half").click()
    link, seen = ask(page, "[app.address, [...app.run().finished]]")
    page.goto("about:blank")
    page.goto(link)
    page.wait_for_selector("html[data-ready]")
    assert ask(page, "[app.address, [...app.run().finished]]") == [link, seen]
    assert ask(page, "[app.state.prompt, app.model.prompts.slice(10)]") == ["heart:0.5 0:0.5", ["heart", "star"]]
    assert ask(page, "app.firstModel.prompts.length") == 10


def test_a_link_holds_twenty_drawings(page: Any, served: Served, digits: LinearDiffusion) -> None:
    taught(page, served, digits, 24)
    assert page.get_by_role("button", name="Take back").count() == 24
    assert page.get_by_text("holds the first 20 drawings").is_visible()
    kept = ask(page, "lessons.readLessons(new URLSearchParams(app.address.split('#')[1]).get('taught'))")
    assert [len(lesson["drawings"]) for lesson in kept] == [20]


def test_an_address_that_teaches_nothing_shows_a_page(page: Any, served: Served, digits: LinearDiffusion) -> None:
    two = "heart.A256*heart.A256"  # of one name: the first is learned
    opened(page, served(digits), view="teach", taught="heart.zzz", lesson=0.5)
    for junk in ("heart.zzz", "heart", "*.*", "0.A256", "a:b.A256", two, "heart.A999999"):
        set_state(page, taught=junk)
        assert page.evaluate("linearDiffusion.model.prompts.length") == 10 + (junk == two)
        page.get_by_role("button", name="Add this drawing").click()
        assert "empty" in page.get_by_role("alert").all_inner_texts()[-1]


def test_a_name_that_does_not_go_is_refused(page: Any, served: Served, digits: LinearDiffusion) -> None:
    taught(page, served, digits, 1)
    for name, says in (("", "1 to 30"), ("x" * 35, "1 to 30"), ("a:0.5", "colons"), ("7", "already")):
        page.get_by_label("Name of the symbol").fill(name)
        assert says in page.get_by_role("alert").all_inner_texts()[-1]
        assert page.evaluate("linearDiffusion.model.prompts.at(-1)") == "heart"
    page.get_by_label("Name of the symbol").fill("лист")
    assert page.evaluate("[linearDiffusion.model.prompts.at(-1), linearDiffusion.state.prompt]") == ["лист", "лист"]


def test_image_files_are_fitted_and_inverted(
    page: Any, served: Served, digits: LinearDiffusion, tmp_path: Path
) -> None:
    from PIL import Image

    cross = np.full((60, 40, 3), 255, np.uint8)
    cross[28:33, 5:35] = cross[10:50, 18:23] = 0
    Image.fromarray(cross).save(tmp_path / "cross.png")
    Image.fromarray(255 - cross).save(tmp_path / "light.png")
    (tmp_path / "text.png").write_text("no picture")
    opened(page, served(digits), view="teach")
    page.locator("input[type=file]").set_input_files([tmp_path / n for n in ("cross.png", "light.png", "text.png")])
    page.get_by_role("button", name="Take back drawing 2").wait_for()
    said = page.locator(".lesson").inner_text()
    assert "cross.png was inverted" in said and "light.png was inverted" not in said
    assert "text.png is not a picture" in said and "2 pictures were fitted to 16 x 16" in said
    first, second = np.reshape(
        ask(page, f"{DRAWN}.map((x) => [...x.pixels])"),
        (2, 16, 16),
    )
    assert np.abs(first - second).max() <= 5 and first[8, 4:12].min() > 80 and first[:, [0, 1, 14, 15]].max() <= 5
    content = (tmp_path / "light.png").read_bytes()
    transfer = page.evaluate_handle(
        "(bytes) => { const t = new DataTransfer(); t.items.add(new File([Uint8Array.from(bytes)], 'dropped.png', "
        "{ type: 'image/png' })); return t; }", list(content))  # fmt: skip
    page.locator(".drop").dispatch_event("drop", {"dataTransfer": transfer})
    page.get_by_role("button", name="Take back drawing 3").wait_for()


def test_a_folder_is_opened_and_comes_out_as_it_was(
    page: Any, served: Served, digits: LinearDiffusion, colours: LinearDiffusion, tmp_path: Path
) -> None:
    colours.save_pretrained(tmp_path / "mine")
    opened(page, served(digits), view="own", prompt="7", seed=3)
    page.locator("input[type=file]").nth(1).set_input_files(sorted((tmp_path / "mine").iterdir()))
    page.get_by_text("red, sky blue").wait_for()
    assert page.evaluate("[linearDiffusion.state.prompt, linearDiffusion.state.seed]") == ["", 3]
    again = downloaded(page, tmp_path)
    files = [
        {path.name: path.read_bytes() for path in (tmp_path / name).glob("*.safetensors")} for name in ("mine", "model")
    ]
    assert files[0] == files[1]
    assert np.array_equal(again.sample(2, "red", random_state=0)[0], colours.sample(2, "red", random_state=0)[0])
    page.get_by_role("button", name="Back to the page's model").click()
    assert page.evaluate("linearDiffusion.model === linearDiffusion.firstModel")
    page.get_by_role("button", name="To the picture").click()
    assert page.evaluate("linearDiffusion.state.view") == "picture"


def test_a_folder_may_be_chosen_or_dropped_whole(
    page: Any, served: Served, digits: LinearDiffusion, tmp_path: Path
) -> None:
    digits.save_pretrained(tmp_path / "mine")
    opened(page, served(digits), view="own")
    page.locator("input[type=file]").first.set_input_files(tmp_path / "mine")
    page.get_by_text("your files", exact=True).wait_for()
    page.get_by_role("button", name="Back to the page's model").click()
    box = page.locator(".drop").bounding_box()
    at = {"x": box["x"] + 20, "y": box["y"] + 20}
    data = {"items": [], "files": [str(tmp_path / "mine")], "dragOperationsMask": 1}
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "data": data, **at})
    page.get_by_text("your files", exact=True).wait_for()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_was_taught_is_accessible_and_fits(page: Any, served: Served, digits: LinearDiffusion, theme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")
    taught(page, served, digits, 6, theme=theme)
    page.get_by_text("your 6 drawings count 38 %").wait_for()
    found = axe.Axe().run(page).response["violations"]
    assert not [(rule["id"], [node["html"][:200] for node in rule["nodes"]]) for rule in found]
    for width in (390, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_files_that_are_no_model_are_named(page: Any, served: Served, digits: LinearDiffusion, tmp_path: Path) -> None:
    digits.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    name = next(tmp_path.glob("*.safetensors")).name
    weights = (tmp_path / name).read_bytes()

    def signed(content: bytes = weights, **changes: Any) -> bytes:
        """A configuration with other values, whose digests are right."""
        said = config | changes | {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "digest": ""}
        text = json.dumps(said, indent=2)
        digest = hashlib.sha256(text.replace('"digest": ""', "").encode()).hexdigest()
        return text.replace('"digest": ""', f'"digest": "{digest}"').encode()

    def named(content: bytes) -> str:
        return f"model-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"

    cut = weights[: len(weights) // 2]
    renamed = weights.replace(b"prior.shares", b"prior.shared")
    params = config["params"]
    cases: list[tuple[dict[str, bytes], str]] = [
        ({name: weights}, "There is no config.json among these files"),
        ({"config.json": b"{"}, "config.json is not valid JSON"),
        ({"config.json": b"[]"}, "not the configuration of a linear diffusion model"),
        ({"config.json": signed(format=3)}, "format 3"),
        ({"config.json": signed(params=params | {"text_encoder": "words"})}, "one-hot prompts"),
        ({"config.json": signed(params=params | {"training": "sampled"})}, 'training="sampled"'),
        ({"config.json": signed().replace(b'"n_images": 1', b'"n_images": 2')}, "was changed after it was written"),
        ({"config.json": signed()}, f"{name} is not among these files"),
        ({"config.json": signed(), name: cut}, f"it should have {len(weights)}"),
        ({"config.json": signed(), name: weights[:-1] + b"x"}, "is not the file that config.json was written with"),
        ({"config.json": signed(cut), named(cut): cut}, "cannot be shown"),
        ({"config.json": signed(renamed), named(renamed): renamed}, 'array "prior.shares" is missing'),
    ]  # fmt: skip
    opened(page, served(digits), view="own")
    for files, says in cases:
        given = [{"name": n, "mimeType": "", "buffer": content} for n, content in files.items()]
        page.locator("input[type=file]").nth(1).set_input_files(given)
        page.get_by_role("alert").filter(has_text=says).wait_for(timeout=5000)
    assert page.evaluate("linearDiffusion.model === linearDiffusion.firstModel")


def test_digests_and_half_floats_are_those_of_python(page: Any, served: Served, digits: LinearDiffusion) -> None:
    opened(page, served(digits))
    lengths = [0, 1, 55, 56, 63, 64, 65, 119, 120, 1000]
    found = ask(page, "given.map((n) => save.sha256(Uint8Array.from({ length: n }, (_, i) => (7 * i) % 251)))", lengths)
    assert found == [hashlib.sha256(bytes(7 * i % 251 for i in range(n))).hexdigest() for n in lengths]
    numbers = np.random.default_rng(0).standard_normal(3000) * 10.0 ** np.random.default_rng(1).integers(-9, 6, 3000)
    halves = ask(page, "given.map(tensors.halfBits)", numbers.tolist())
    with np.errstate(over="ignore"):
        assert halves == numbers.astype(np.float16).view(np.uint16).tolist()


def test_the_archive_is_one_that_others_read(page: Any, served: Served, digits: LinearDiffusion) -> None:
    opened(page, served(digits))
    content = ask(page, "[...save.zip('folder', { 'a.txt': Uint8Array.of(1, 2, 3), 'b': new Uint8Array(0) })]")
    with zipfile.ZipFile(io.BytesIO(bytes(content))) as archive:
        assert archive.testzip() is None
        assert {n: archive.read(n) for n in archive.namelist()} == {"folder/a.txt": b"\1\2\3", "folder/b": b""}
