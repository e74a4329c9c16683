"""evaluate, end to end: figures, scales, warnings, and the report in its three forms."""

import json
import re
import warnings
from base64 import b64decode
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone

import linear_diffusion
from linear_diffusion import LinearDiffusion
from linear_diffusion.evaluation.report import Evaluation
from linear_diffusion.evaluation.run import evaluate
from linear_diffusion.evaluation.splits import count_copies, make_panel
from linear_diffusion.evaluation.validate import data_warnings

FIGURES = {
    "frechet_distance",
    "prompt_accuracy",
    "precision",
    "recall",
    "density",
    "coverage",
    "nearest_median",
    "nearest_median_ratio",
    "nearest_tail_ratio",
    "near_copies",
    "two_sample_accuracy",
    "train_on_samples",
}


class Stub:
    """A generator whose samples are drawn from given images."""

    def __init__(self, images, prompts):
        self.images, self.prompts = images, prompts

    def sample(self, n_samples=None, prompts=None, *, random_state=None):
        rng = np.random.default_rng(random_state)
        if prompts is None:
            at = rng.integers(0, len(self.images), n_samples)
        else:
            at = [rng.choice(np.flatnonzero(self.prompts == p)) for p in prompts]
        return self.images[at], self.prompts[at]


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Judges that are trained for a tenth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("linear_diffusion.evaluation.features._STEPS", 150)
        yield


@pytest.fixture(scope="module")
def shuffled(grey):
    """Digits in another order than that of their writers, and strings."""
    order = np.random.default_rng(0).permutation(1797)
    return grey[0][order], grey[1][order].astype(str)


@pytest.fixture(scope="module")
def pairs(shuffled):
    images, prompts = shuffled
    return (images[:1200], prompts[:1200]), (images[1200:], prompts[1200:])


@pytest.fixture(scope="module")
def panel(pairs):
    return make_panel(*pairs)


@pytest.fixture(scope="module")
def model(pairs):
    return LinearDiffusion(styles=1, latent_dim=20).fit(*pairs[0])


@pytest.fixture(scope="module")
def found(model, pairs, panel):
    return evaluate(model, *pairs, n_samples=600, panel=panel, small_sets=(10, 500))


def values(evaluation):
    return {key: (figure.value, figure.real) for key, figure in evaluation.figures.items()}


def test_every_measure_is_there_beside_that_of_real_images(found):
    assert set(found.figures) == FIGURES | {"small_10_samples", "small_10_both"}
    for figure in found.figures.values():
        assert np.isfinite([figure.value, figure.real]).all()
        assert figure.n > 0
    assert found.warnings == []
    assert any("Sets of 500 images per prompt are left out: half of the prompts have 1" in n for n in found.notes)
    real = {key: figure.real for key, figure in found.figures.items()}
    assert real["prompt_accuracy"] > 0.85
    assert real["density"] == pytest.approx(1, abs=0.2)
    assert real["two_sample_accuracy"] == pytest.approx(0.5, abs=0.12)
    assert real["nearest_median_ratio"] == 1
    assert found["frechet_distance"].n == 240  # as many as there are stand-ins
    assert found["prompt_accuracy"].n == 600
    assert found["frechet_distance"].value > 0.5 * real["frechet_distance"]


def test_one_rare_prompt_leaves_the_others_whole(shuffled):
    images, prompts = shuffled[0][:900], shuffled[1][:900].astype("U9")
    few = np.isin(prompts, ["3", "5", "8"])
    images, prompts = images[few], prompts[few]
    prompts[[0, 200]] = "rare"  # one in training, one held out
    train, test = (images[:180], prompts[:180]), (images[180:], prompts[180:])
    model = LinearDiffusion(styles=1, latent_dim=10).fit(*train)
    with warnings.catch_warnings(action="error"):
        found = evaluate(model, train, test, n_samples=80, small_sets=(5, 10, 500))
    small = {f"small_{n}_{what}" for n in (5, 10) for what in ("samples", "both")}
    assert set(found.figures) == FIGURES | small
    assert all(np.isfinite([figure.value, figure.real]).all() for figure in found.figures.values())
    assert "Small sets hold all images of prompts that have fewer: 'rare' (1)." in found.notes
    inside = [page[54:-12:87, -12 - 10 * 83 + 40 :: 83] for page in list(found.pictures.values())[:2]]  # middles
    assert [page.shape for page in inside] == [(4, 10), (4, 10)], [p.shape for p in found.pictures.values()]
    np.testing.assert_array_equal((inside[1] == 255).sum(axis=1) >= 9, [False, False, False, True])


def test_the_parts_of_an_evaluation_are_told_and_counted(model, pairs, panel, capsys):
    args = {"n_samples": 50, "panel": panel, "small_sets": ()}
    quiet = evaluate(model, *pairs, **args)
    assert capsys.readouterr().out == ""
    loud = evaluate(clone(model).set_params(verbose=1).fit(*pairs[0]), *pairs, verbose=1, **args)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("[evaluate]")]
    assert values(quiet) == values(loud)
    assert [line.split("s  ", 1)[1].split(":")[0] for line in lines] == [*(f"{i} of 8" for i in range(1, 9)), "done"]


def test_real_images_in_the_place_of_samples_score_as_real_images_do(pairs, panel):
    # The stand-ins themselves, whose figures are the scale.
    class Real(Stub):
        def sample(self, n_samples=None, prompts=None, *, random_state=None):
            images, asked = super().sample(n_samples, prompts, random_state=random_state)
            return (panel.stand_ins if prompts is None else images), asked[: len(panel.stand_ins)]

    found = evaluate(Real(*pairs[0]), *pairs, n_samples=240, panel=panel, small_sets=())
    for key in ("frechet_distance", "precision", "recall", "density", "coverage", "two_sample_accuracy"):
        assert found[key].value == found[key].real


def test_noise_is_seen_by_every_measure(pairs, panel):
    noise = Stub(np.random.default_rng(0).integers(0, 256, (900, 8, 8), dtype=np.uint8), pairs[0][1][:900])
    found = evaluate(noise, *pairs, n_samples=500, panel=panel)
    assert found["frechet_distance"].value > 20 * found["frechet_distance"].real
    assert found["prompt_accuracy"].value < 0.3
    assert found["two_sample_accuracy"].value > 0.99
    assert found["nearest_median_ratio"].value > 1.5
    assert found["train_on_samples"].value < 0.5
    assert found["coverage"].value < 0.2
    assert not any("memorised" in text for text in found.warnings)
    assert any("cannot be cloned" in note for note in found.notes)


def test_a_model_that_returns_its_training_images_is_said_to_memorise(pairs, panel):
    found = evaluate(Stub(*pairs[0]), *pairs, n_samples=300, panel=panel, small_sets=())
    (warning,) = found.warnings
    assert "memorised: 100.0% of samples are near copies" in warning
    assert "100.0% are exact copies" in warning
    assert found["near_copies"].value == 1
    assert found["nearest_median_ratio"].value == 0
    for text in (found.to_table(), found.to_html(), json.dumps(found.to_dict())):
        assert "memorised" in " ".join(text.split())
    for pair in found.nearest_pairs:
        assert pair["distance"] == 0


def test_an_overfitted_linear_model_is_said_to_memorise(grey):
    images, prompts = grey
    few = np.concatenate([np.flatnonzero(prompts == p)[:3] for p in range(10)])
    rest = np.setdiff1d(np.arange(len(images)), few)
    train, test = (images[few], prompts[few]), (images[rest], prompts[rest])
    model = LinearDiffusion(ridge=1e-9, **one_style()).fit(*train)
    found = evaluate(model, train, test, n_samples=300)
    assert len(found.warnings) == 1
    assert "memorised" in found.warnings[0]
    assert found["near_copies"].value > 0.3
    assert not {"small_10_samples", "small_30_both"} & set(found.figures)


def one_style():
    return {"styles": 1} if "styles" in LinearDiffusion().get_params() else {}


def test_held_out_images_that_the_model_has_seen_are_spoken_of(model, pairs, panel):
    def warnings(model, train, test, fitted_on="train"):
        return data_warnings(model, train[0], test[0], fitted_on, count_copies(train[0], test[0]))

    (train, test), both = pairs, tuple(np.concatenate(x) for x in zip(*pairs, strict=True))
    assert warnings(model, train, test) == []
    whole = evaluate(model, train, test, n_samples=50, panel=panel, small_sets=(), fitted_on="all")
    assert whole.warnings == warnings(model, train, test, fitted_on="all")
    assert "fitted on the held-out images too" in whole.warnings[0]
    on_all = clone(model).fit(*both)
    assert "fitted on all 1,797 images, the held-out ones among them" in warnings(on_all, train, test)[0]
    # As many images, but others: what the counts do not tell, the means do.
    other = clone(model).fit(both[0][-1200:], both[1][-1200:])
    assert "fitted on other images (1,200) than train (1,200)" in warnings(other, train, test)[0]
    fewer = clone(model).fit(train[0][:900], train[1][:900])
    assert "fitted on other images (900) than train (1,200)" in warnings(fewer, train, test)[0]
    mixed = np.concatenate([test[0], train[0][:7]]), np.concatenate([test[1], train[1][:7]])
    assert "7 of 604 held-out images are also training images" in warnings(model, train, mixed)[0]


def test_the_caller_fits_small_sets(model, pairs, panel):
    seen = []

    def fit(images, prompts):
        seen.append(len(images))
        return clone(model).fit(images, prompts)

    done = evaluate(model, *pairs, n_samples=50, panel=panel, fit=fit, small_sets=(3, 4))
    assert seen == [30, 40]
    assert {"small_3_samples", "small_3_both", "small_4_samples", "small_4_both"} < set(done.figures)


def test_it_can_be_repeated_and_labels_need_not_be_strings(model, shuffled, pairs, panel):
    images, labels = shuffled[0], shuffled[1].astype(int)
    options = {"n_samples": 80, "small_sets": ()}
    train, test = (images[:1200], labels[:1200]), (images[1200:], labels[1200:])
    one = evaluate(clone(model).fit(*train), train, test, **options)
    two = evaluate(model, *pairs, panel=panel, **options)
    assert values(one) == values(two)
    assert values(two) != values(evaluate(model, *pairs, panel=panel, random_state=1, **options))


def test_one_prompt_goes_without_what_reads_prompts(grey):
    images = grey[0]
    model = LinearDiffusion(styles=1, latent_dim=10).fit(images[:300])
    found = evaluate(model, (images[:300], None), (images[300:500], None), n_samples=100)
    assert set(found.figures) == FIGURES - {"prompt_accuracy", "train_on_samples"}
    assert any("one prompt" in note for note in found.notes)
    assert found.warnings == []


def test_rows_that_are_no_images_have_no_pictures():
    rng = np.random.default_rng(0)
    rows, prompts = rng.random((80, 7)), np.array(["a", "b"] * 40)
    found = evaluate(
        LinearDiffusion().fit(rows[:50], prompts[:50]),
        (rows[:50], prompts[:50]),
        (rows[50:], prompts[50:]),
        n_samples=40,
        small_sets=(),
    )
    assert found.pictures == {}
    assert "<img" not in found.to_html()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_samples": 3}, "n_samples=3"),
        ({"n_samples": 2.5}, "n_samples=2.5"),
        ({"fitted_on": "test"}, "fitted_on='test'"),
        ({"inception": "absent.pt"}, r"inception='absent\.pt': there is no such file; give the file inception-2015"),
        ({"train": (np.zeros((20, 4, 4), np.uint8), ["0"] * 20)}, r"train has images of shape \(4, 4\)"),
        ({"test": (np.zeros((20, 4, 4), np.uint8), ["0"] * 20)}, r"test has images of shape \(4, 4\)"),
        ({"test": (np.zeros((20, 8, 8)), ["0"] * 20)}, "test of float64"),
        ({"test": (np.zeros((20, 8, 8), np.uint8), ["0"] * 19)}, "test has prompts of shape"),
        ({"test": (np.zeros((3, 8, 8), np.uint8), ["0"] * 3)}, "test has 3 images"),
        ({"test": (np.full((20, 8, 8), np.nan), ["0"] * 20)}, "finite"),
        ({"train": (np.zeros((20, 8, 8), np.uint8), ["0"] * 20)}, "knows prompt '1', which train has no image of"),
    ],
)
def test_wrong_input_costs_nothing(model, pairs, monkeypatch, change, message):
    monkeypatch.setattr("linear_diffusion.evaluation.run.make_panel", None)
    options = {"train": pairs[0], "test": pairs[1], "n_samples": 50, **change}
    with pytest.raises(ValueError, match=message):
        evaluate(model, options.pop("train"), options.pop("test"), **options)


def test_steps_are_shown_and_timed(model, pairs, panel):
    from contextlib import contextmanager

    log = []

    @contextmanager
    def step(name, doing):
        log.append((name, doing))
        yield
        log.append(name)

    done = evaluate(model, *pairs, n_samples=50, panel=panel, small_sets=(2,), step=step)
    names = [
        "judges",
        "sample",
        "fidelity",
        "diversity",
        "memorisation",
        "two-sample",
        "usefulness",
        "2 per prompt",
        "draw",
    ]
    assert [entry for entry in log if isinstance(entry, str)] == names == list(done.seconds)
    assert ("sample", "2 of 9: drawing 50 samples") in log


def test_json_is_valid_and_says_it_all(found):
    record = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert set(record) == {"warnings", "notes", "figures", "nearest_pairs", "settings", "seconds"}
    assert record["figures"]["recall"]["value"] == found["recall"].value
    assert record["settings"]["n_test"] == 597
    assert len(record["nearest_pairs"]) == 10
    nothing = Evaluation({"a": found["recall"].__class__("A", "a", np.inf, 1.0, "lower", 1, "")}, [], [], {}, {}, [])
    assert json.loads(json.dumps(nothing.to_dict(), allow_nan=False))["figures"]["a"]["value"] is None
    assert " - " in nothing.to_table()


def test_the_table_fits_a_terminal(found):
    text = str(found)
    assert max(map(len, text.splitlines())) <= 80
    for figure in found.figures.values():
        assert figure.name in text
    assert "real" in text.splitlines()[0]


def test_nearest_pairs_are_the_nearest(found, model, pairs):
    images, _ = model.sample(600, random_state=0)
    for pair in found.nearest_pairs:
        gap = images[pair["sample"]] / 255 - pairs[0][0][pair["train"]] / 255
        assert pair["distance"] == pytest.approx(np.linalg.norm(gap), rel=1e-5)


class Page(HTMLParser):
    """What a page holds, and whether its tags close."""

    def __init__(self):
        super().__init__()
        self.open, self.images, self.others = [], [], []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "img":
            self.images.append(attrs)
        elif tag != "meta":
            self.open.append(tag)
        self.others += [v for k, v in attrs.items() if k in ("href", "src") and not v.startswith("data:")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_needs_nothing_else(found, tmp_path):
    found.save_html(tmp_path / "new" / "report.html")
    text = (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.others == []
    assert not re.search(r"https?:|@import|url\(|<script", text)
    assert len(page.images) == 3
    for attrs, picture in zip(page.images, found.pictures.values(), strict=True):
        image = Image.open(BytesIO(b64decode(attrs["src"].removeprefix("data:image/png;base64,"))))
        np.testing.assert_array_equal(np.asarray(image), picture)
        assert (int(attrs["width"]), int(attrs["height"])) == image.size
        assert attrs["alt"]
    for figure in found.figures.values():
        assert figure.name in text


def test_text_of_others_is_no_markup(found):
    from dataclasses import replace

    nasty = replace(found, warnings=["<script>alert(1)</script>"], pictures={})
    assert "<script" not in nasty.to_html()


def test_the_public_name():
    assert linear_diffusion.evaluate is evaluate
