"""A model whose prompts are words: unseen combinations, the one-hot route beside it, saving, and what is refused."""

import warnings
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from linear_diffusion import LinearDiffusion, NotEnoughMemoryError, UnknownPromptError
from linear_diffusion import draw as drawing
from linear_diffusion.denoiser import moments, words
from linear_diffusion.denoiser.gaussian import GaussianDenoiser
from linear_diffusion.fit import encoder
from linear_diffusion.operators import inpaint
from linear_diffusion.tasks import density

WORDS = {
    "left": (0, slice(None)),
    "right": (4, slice(None)),
    "top": (slice(None), 0),
    "low": (slice(None), 4),
    "dot": (2, 2),
}


def one_hot_codes(prompts: Any) -> np.ndarray:
    """A transformer of strings that gives each of "a" to "d" a column."""
    return np.array([[float(p == letter) for letter in "abcd"] for p in prompts])


def drawings(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images of 5 x 5 pixels with a bar on one of two sides, one on one of two others, and perhaps a dot."""
    rng = np.random.default_rng(seed)
    combinations = [(a, b, *c) for a in ("left", "right") for b in ("top", "low") for c in ((), ("dot",))]
    chosen = rng.integers(8, size=n)
    X = 0.2 * rng.random((n, 5, 5))
    for i, j in enumerate(chosen):
        for word in combinations[j]:
            X[i].T[WORDS[word]] += 0.4 + 0.2 * rng.random()
    return np.clip(X, 0, 1), np.array([" ".join(combinations[j]) for j in chosen])


@pytest.fixture(scope="module")
def fitted() -> LinearDiffusion:
    """Fitted on seven of the eight combinations: all but "right low"."""
    X, y = drawings(800)
    keep = y != "right low"
    return LinearDiffusion(text_encoder="words", latent_dim=12, random_state=0).fit(X[keep], y[keep])


@parametrize_with_checks([LinearDiffusion(text_encoder="words")])
def test_scikit_learns_checks_pass(estimator: Any, check: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        check(estimator)


# One-hot through the general model is the fast route


@pytest.fixture(scope="module")
def both() -> tuple[LinearDiffusion, LinearDiffusion, np.ndarray, np.ndarray]:
    """The fast route and the general one, on the same data of four prompts."""
    rng = np.random.default_rng(3)
    X, y = rng.random((300, 6)) @ rng.random((6, 6)), np.array(list("abcd"))[rng.integers(4, size=300)]
    X = X * (1 + (y == "a")[:, None]) / 10
    fast = LinearDiffusion(styles=1, latent_dim=5, pixel_range=(0, 1), random_state=0).fit(X, y)
    general = clone(fast).set_params(text_encoder=one_hot_codes).fit(X, y)
    return fast, general, X, y


def test_one_hot_through_the_general_model_learns_the_same_gaussians(both: Any) -> None:
    fast, general, _, _ = both
    assert_allclose(general.means_, fast.means_, rtol=0, atol=1e-8)
    assert_allclose(general.covariances_, fast.covariances_, rtol=0, atol=1e-8)
    assert_array_equal(general.classes_, fast.classes_)
    assert_allclose(general.weights_, fast.weights_)


def test_one_hot_through_the_general_model_answers_the_same(both: Any) -> None:
    fast, general, X, y = both
    assert_allclose(general.score_samples(X, y), fast.score_samples(X, y), rtol=1e-8)
    assert_allclose(general.score_samples(X), fast.score_samples(X), rtol=1e-8)
    noisy = X + 0.1 * np.random.default_rng(0).standard_normal(X.shape)
    assert_allclose(general.denoise(noisy, 0.1, y), fast.denoise(noisy, 0.1, y), rtol=1e-7)
    assert_allclose(general.denoise(noisy, 0.1), fast.denoise(noisy, 0.1), rtol=1e-7)


@pytest.mark.parametrize(
    "how", [{}, {"sampler": "ddim", "n_steps": 4}, {"sampler": "heun", "n_steps": 3, "return_trajectory": True}]
)
def test_one_hot_through_the_general_model_draws_the_same(both: Any, how: dict) -> None:
    fast, general, _, _ = both
    for prompts in (["a", "d", "a"], None):
        ours, theirs = (m.sample(3, prompts, **how) for m in (general, fast))
        assert_array_equal(ours[1], theirs[1])
        assert_allclose(ours[0], theirs[0], atol=2e-3)  # the tone curve is steep, and its table has 4,096 entries


def test_a_prompt_with_more_images_than_a_chunk_is_summed_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "_CHUNK_BYTES", 1)  # chunks of 256 images
    rng = np.random.default_rng(4)
    X, y = rng.random((900, 5)) @ rng.random((5, 5)), np.repeat(["a", "b"], [700, 200])
    fast = LinearDiffusion(styles=1, latent_dim=4).fit(X, y)
    general = clone(fast).set_params(text_encoder=one_hot_codes).fit(X, y)
    assert_allclose(general.covariances_, fast.covariances_, rtol=0, atol=1e-8)


# Words


def test_an_unseen_combination_shows_what_its_words_mean(fitted: LinearDiffusion) -> None:
    images, prompts = fitted.sample(200, "right low")
    assert set(prompts) == {"right low"}
    mean, real = images.mean(axis=0), drawings(4000, 1)
    truth = real[0][real[1] == "right low"].mean(axis=0)
    others = [real[0][real[1] == p].mean(axis=0) for p in fitted.classes_]
    assert np.abs(mean - truth).max() < 0.15
    assert min(np.abs(mean - other).max() for other in others) > 0.3


def test_the_order_of_words_does_not_matter(fitted: LinearDiffusion) -> None:
    images, prompts = fitted.sample(prompts=["left top", "top left", "  top   left "], random_state=5)
    assert_array_equal(prompts, ["left top", "top left", "  top   left "])
    same = [fitted.sample(prompts=[p], random_state=1)[0] for p in prompts]
    assert_array_equal(same[0], same[1])
    assert_array_equal(same[0], same[2])
    assert len(images) == 3


def test_unseen_prompts_go_with_every_task(fitted: LinearDiffusion) -> None:
    X, y = drawings(300, 2)
    unseen = X[y == "right low"]
    log_density = fitted.score_samples(unseen, ["right low"] * len(unseen))
    assert (log_density > fitted.score_samples(unseen, ["left top"] * len(unseen))).mean() > 0.95
    noisy = unseen + 0.2 * np.random.default_rng(0).standard_normal(unseen.shape)
    clean = fitted.denoise(noisy, 0.2, "right low")
    assert ((clean - unseen) ** 2).mean() < 0.5 * ((noisy - unseen) ** 2).mean()
    assert isinstance(fitted.denoiser("low right"), GaussianDenoiser)
    for sampler in ("ddpm", "dpmpp_2m"):
        assert fitted.sample(4, "right low", sampler=sampler, n_steps=3)[0].shape == (4, 5, 5)


def test_samples_have_the_mean_and_covariance_that_the_regressions_say() -> None:
    X, y = drawings(600)
    model = LinearDiffusion(text_encoder="words", latent_dim=3, tone=False, pixel_range=None, random_state=0)
    model.fit(X, y)
    prior = model.denoiser("right low")
    z = model.transform(model.sample(40_000, "right low")[0])
    assert_allclose(z.mean(axis=0), prior.mean, atol=0.03)
    assert_allclose(np.cov(z.T), prior.covariance, atol=0.03)


def test_what_is_drawn_does_not_depend_on_what_else_is_asked_for(fitted: LinearDiffusion) -> None:
    alone = fitted.sample(prompts=["right low"], random_state=3)[0][0]
    again = fitted.sample(prompts=["right low", "left top", "right top"], random_state=3)[0][0]
    assert_allclose(alone, again, atol=1e-6)
    assert not np.allclose(alone, fitted.sample(prompts=["right low"], random_state=4)[0][0])
    drawn, prompts = fitted.sample(5, random_state=3)
    assert_allclose(drawn, fitted.sample(prompts=prompts, random_state=3)[0], atol=1e-6)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("left lop", "unknown word 'lop' in prompt 'left lop': the model knows 'dot', .*; the nearest is 'top'"),
        ("left right", "its words are known, but not together.*; the nearest is"),
        ("left", "its words are known, but not together"),
        ("", "its words are known, but not together"),
    ],
)
def test_a_prompt_outside_the_span_of_training_raises(fitted: LinearDiffusion, prompt: str, message: str) -> None:
    for ask in (
        lambda: fitted.sample(2, prompt),
        lambda: fitted.denoiser(prompt),
        lambda: fitted.score_samples(drawings(2)[0], [prompt] * 2),
        lambda: fitted.denoise(drawings(2)[0], 0.1, prompt),
    ):
        with pytest.raises(UnknownPromptError, match=message):
            ask()


def test_an_empty_list_of_prompts_is_refused(fitted: LinearDiffusion) -> None:
    with pytest.raises(ValueError, match="prompts is empty"):
        fitted.sample(prompts=[])


@settings(max_examples=6, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcde"), max_size=4).map(" ".join), min_size=6, max_size=14))
def test_any_bags_of_words_are_fitted_and_drawn(prompts: list[str]) -> None:
    X = np.random.default_rng(len(prompts)).random((len(prompts), 3, 2))
    model = LinearDiffusion(text_encoder="words", latent_dim=4, random_state=0).fit(X, np.array(prompts))
    images, drawn = model.sample(prompts=prompts)
    assert images.shape == X.shape
    assert drawn.tolist() == prompts
    assert np.isfinite(images).all()
    assert np.isfinite(model.score_samples(X, prompts)).all()


# Guidance, edits, ways, and tasks at prompts that training did not show


def test_a_guided_prompt_of_words_goes_away_from_the_negative_one(fitted: LinearDiffusion) -> None:
    plain, away = (
        fitted.sample(100, "right low", sampler="ddim", n_steps=20, **guidance)[0].mean(axis=0)
        for guidance in ({}, {"guidance_scale": 1.5, "negative_prompts": "right top"})
    )
    means = [fitted.sample(400, p)[0].mean(axis=0) for p in ("right low", "right top")]
    assert ((away - plain) * (means[0] - means[1])).sum() > 0
    nearly = fitted.sample(9, "right low", sampler="ddim", guidance_scale=1 + 1e-9, negative_prompts="left top")[0]
    assert_allclose(nearly, fitted.sample(9, "right low", sampler="ddim")[0], atol=1e-4)


def test_guidance_of_words_needs_negative_prompts(fitted: LinearDiffusion) -> None:
    X, _ = drawings(2)
    for ask in (lambda: fitted.sample(2, "left top", guidance_scale=2),
                lambda: fitted.edit(X, "left top", guidance_scale=2)):  # fmt: skip
        with pytest.raises(ValueError, match=r"negative_prompts=None: guidance .* needs the prompts"):
            ask()
    with pytest.raises(UnknownPromptError, match="lop"):
        fitted.sample(2, "left top", guidance_scale=2, negative_prompts="left lop")


def test_edits_and_ways_go_to_prompts_of_words(fitted: LinearDiffusion) -> None:
    X, y = drawings(300, 2)
    source = X[y == "left low"][:20]
    edited = fitted.edit(source, "right low", 0.9)
    towards, given = (X[y == p].mean(axis=0) for p in ("right low", "left low"))
    assert np.abs(edited.mean(axis=0) - towards).mean() < 0.5 * np.abs(edited.mean(axis=0) - given).mean()
    assert_array_equal(fitted.edit(source, "right low", 0.0), fitted.inverse_transform(fitted.transform(source)))
    pair = np.stack([source[0], X[y == "right low"][0]])
    way = fitted.interpolate(*pair, 5, prompts=["left low", "low right"])
    assert way.shape == (5, 5, 5)
    assert_allclose(way[[0, -1]], fitted.inverse_transform(fitted.transform(pair)), atol=1e-6)


def test_restoring_goes_with_prompts_of_words(fitted: LinearDiffusion) -> None:
    X, y = drawings(300, 2)
    unseen = X[y == "right low"]
    missing = np.zeros((5, 5), bool)
    missing[:, 3:] = True
    damaged = np.where(missing, 0.0, unseen)
    told, wrong = (fitted.restore(damaged, inpaint(missing), prompts=p) for p in ("right low", "left top"))
    assert np.abs(told - unseen).mean() < 0.5 * np.abs(damaged - unseen).mean()
    assert np.abs(told - unseen).mean() < np.abs(wrong - unseen).mean()


def test_a_model_of_words_fitted_anew_forgets_how_sure_another_was() -> None:
    X, y = drawings(200)
    anew = LinearDiffusion(styles=1, latent_dim=6).fit(X, y).set_params(text_encoder="words").fit(X, y)
    fresh = LinearDiffusion(styles=1, latent_dim=6, text_encoder="words").fit(X, y)
    assert_array_equal(anew.predict_proba(X), fresh.predict_proba(X))


# Transformers of the user's


def test_a_pipeline_of_scikit_learn_is_a_text_encoder() -> None:
    X, y = drawings(500)
    keep = y != "right low"
    vectors = make_pipeline(CountVectorizer(), TruncatedSVD(5, random_state=0))
    model = LinearDiffusion(text_encoder=vectors, latent_dim=8, random_state=0).fit(X[keep], y[keep])
    # Five words are five dimensions, turned: the means are those of a regression on the bags of words themselves.
    bags = CountVectorizer().fit(y)
    regression = LinearRegression().fit(bags.transform(y[keep]), model.transform(X[keep]))
    for prompt in ("right low", "left top"):
        expected = regression.predict(bags.transform([prompt]))[0]
        assert_allclose(model.denoiser(prompt).mean, expected, atol=1e-6)
    assert not hasattr(vectors[0], "vocabulary_")  # a copy was fitted
    assert clone(model).text_encoder is not vectors


def test_vectors_are_reduced_to_sixteen_dimensions() -> None:
    rng = np.random.default_rng(0)
    table = {f"p{i}": rng.standard_normal(40) for i in range(30)}
    model = LinearDiffusion(text_encoder=lambda prompts: [table[p] for p in prompts], latent_dim=3)
    model.fit(rng.random((60, 9)), np.repeat(list(table), 2))
    assert model.prior_.words.code.encode(["p3"]).shape == (1, 16)
    assert model.prior_.words.gaussian.covariance.weights.shape == (17, 3, 3)


def test_a_vector_far_from_the_training_prompts_is_unknown() -> None:
    vectors = {"a": [0.0, 0.0, 0.0], "b": [1.0, 0.0, 0.0], "c": [2.0, 0.0, 0.0], "d": [0.0, 1.0, 0.0]}
    X, y = np.random.default_rng(0).random((30, 4)), np.repeat(["a", "b"], 15)
    model = LinearDiffusion(text_encoder=lambda ps: [vectors[p] for p in ps], latent_dim=2, random_state=0).fit(X, y)
    assert model.sample(2, "c")[0].shape == (2, 4)
    with pytest.raises(UnknownPromptError, match="'d': its vector lies outside the span"):
        model.sample(2, "d")


@pytest.mark.parametrize("made", [[1.0, 2.0], [[np.nan], [1.0]], [[1.0]]])
def test_vectors_that_are_none_are_refused(made: list) -> None:
    model = LinearDiffusion(text_encoder=lambda prompts: made)
    with pytest.raises(ValueError, match=r"text_encoder made an array of shape .* of 2 prompts"):
        model.fit(np.random.default_rng(0).random((4, 3)), ["a", "b", "a", "b"])


# What is refused


def test_sampled_training_needs_a_one_hot_code() -> None:
    X, y = drawings(50)
    with pytest.raises(ValueError, match='goes with training="exact"'):
        LinearDiffusion(text_encoder="words", training="sampled").fit(X, y)


def test_styles_are_of_one_hot_prompts_only() -> None:
    X, y = drawings(50)
    models = [LinearDiffusion(text_encoder="words", styles=s, random_state=0).fit(X, y) for s in (1, 3)]
    assert_array_equal(*(model.sample(20)[0] for model in models))


@pytest.mark.parametrize("encoder", ["bag-of-words", "word-products", 3, None])
def test_an_unknown_text_encoder_is_named(encoder: Any) -> None:
    with pytest.raises(ValueError, match="text_encoder"):
        LinearDiffusion(text_encoder=encoder).fit(*drawings(20))


def test_a_fit_that_does_not_fit_is_refused_with_advice(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    X, y = drawings(60)
    monkeypatch.setattr(encoder, "available_memory", lambda: 150_000)
    with (
        caplog.at_level("INFO", logger="linear_diffusion"),
        pytest.raises(NotEnoughMemoryError, match=r"latent_dim=25 .* latent_dim=\d+ would fit"),
    ):
        LinearDiffusion(text_encoder="words").fit(X, y)
    assert "regression on 9 numbers per prompt: about" in caplog.text


def test_prompts_that_do_not_fit_together_are_worked_out_in_turn(
    fitted: LinearDiffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same answers, whether all Gaussians are held at once or one after the other."""
    (X, _), prompts = drawings(30), [*fitted.classes_, "right low", "low right", *fitted.classes_] * 20
    asks: list[Callable[[LinearDiffusion], Any]] = [
        lambda model: model.sample(prompts=prompts)[0],
        lambda model: model.sample(prompts=prompts[:9], sampler="ddim", return_trajectory=True, n_steps=2)[2],
        lambda model: model.sample(prompts=prompts[:9], guidance_scale=1.2, negative_prompts="left low dot", n_steps=2)[
            0
        ],
        lambda model: model.predict_proba(X),
        lambda model: model.score_samples(X),
        lambda model: model.score_samples(X, prompts[:30]),
        lambda model: model.denoise(X, 0.1),
        lambda model: model.restore(X.mean(axis=1), np.eye(25).reshape(5, 5, 25).mean(axis=0), 0.1, return_std=True),
    ]
    whole = [ask(fitted) for ask in asks]
    rooms = [(words, "_CACHED_BYTES"), (drawing, "_BASES"), (density, "_BLOCK_BYTES"), (density, "_KEPT_BYTES")]
    for module, name in rooms:
        monkeypatch.setattr(module, name, 1)
    for ask, expected in zip(asks, whole, strict=True):
        assert_allclose(ask(copy(fitted)), expected, rtol=1e-6, atol=1e-6)


def test_each_prompts_gaussian_is_worked_out_once_a_call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    X, y = drawings(60)
    asks: list[tuple[Callable[[LinearDiffusion], Any], int]] = [
        (lambda model: model.predict(X), 8),
        (lambda model: model.score_samples(X, y), 8),
        (lambda model: model.sample(prompts=y), 8),
        (lambda model: model.covariances_, 8),
        (lambda model: model.save_pretrained(tmp_path), 8),
        (lambda model: model.score_samples(X[:2], ["left top"] * 2), 1),
        (lambda model: model.denoise(X[:1], 0.1, "left top"), 1),  # no other prompt's
    ]
    eigh, seen = np.linalg.eigh, list[int]()
    for ask, expected in asks:
        model = LinearDiffusion(text_encoder="words", latent_dim=12).fit(X, y)
        with monkeypatch.context() as patch:
            patch.setattr(np.linalg, "eigh", lambda a: seen.append(a.size // 12**2) or eigh(a))
            ask(model)
        assert sum(seen) == expected
        seen.clear()


def test_memory_is_for_dimensions_of_the_code_not_for_prompts() -> None:
    few, many = (encoder.Work(p, 64, p, 1, 1, code_length=17).n_bytes(100) for p in (10, 10_000))
    assert (many - few) / 9_990 < 8 * 100 * 100 / 4


# Files


def test_a_saved_model_comes_back_bit_by_bit(fitted: LinearDiffusion, tmp_path: Path) -> None:
    fitted.save_pretrained(tmp_path)
    loaded = LinearDiffusion.from_pretrained(tmp_path)
    prompts = ["right low", "left top", "top left"]
    assert_array_equal(loaded.sample(prompts=prompts)[0], fitted.sample(prompts=prompts)[0])
    assert_array_equal(loaded.sample(7)[1], fitted.sample(7)[1])
    X, y = drawings(20)
    assert_array_equal(loaded.score_samples(X, y), fitted.score_samples(X, y))
    with pytest.raises(UnknownPromptError):
        loaded.sample(1, "left right")
    loaded.save_pretrained(tmp_path / "again")
    for path in tmp_path.glob("*.*"):
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_a_transformer_of_the_users_is_not_saved(both: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"text_encoder=<function one_hot_codes .* not saved"):
        both[1].save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())
