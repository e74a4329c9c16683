"""partial_fit and from_moments: any batches, in any order, are one fit on the whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from linear_diffusion import LinearDiffusion, Moments, NotEnoughMemoryError

Digits = tuple[np.ndarray, np.ndarray]
PLAIN = {"styles": 1, "latent_dim": 20}


def require_the_same(found: LinearDiffusion, whole: LinearDiffusion, images: np.ndarray) -> None:
    atol = 1e-5 if whole.decoder_.image.dtype == "uint8" else 1e-6  # products of bytes are float32
    assert_array_equal(found.classes_, whole.classes_)
    assert found.n_images_ == whole.n_images_
    assert_allclose(found.weights_, whole.weights_, rtol=1e-12)
    for name in ("mean", "std", "variances"):
        assert_allclose(getattr(found.encoder_, name), getattr(whole.encoder_, name), rtol=1e-6, atol=1e-6)
    assert_allclose(found.components_, whole.components_, atol=atol)
    assert_allclose(found.means_, whole.means_, atol=atol)
    assert_allclose(found.covariances_, whole.covariances_, atol=atol)
    assert_allclose(found.decoder_.curves.table, whole.decoder_.curves.table, atol=1e-2)
    assert_allclose(found.score_samples(images), whole.score_samples(images), rtol=1e-5)
    assert found.decoder_.image == whole.decoder_.image


@settings(deadline=None, max_examples=15)
@given(cuts=st.lists(st.integers(1, 599), max_size=4, unique=True), standardize=st.booleans(), seed=st.integers(0, 9))
def test_any_partition_is_one_fit_on_the_whole(digits: Digits, cuts: list[int], standardize: bool, seed: int) -> None:
    images, y = (a[:600] for a in digits)
    order = np.random.default_rng(seed).permutation(600)
    parts = np.split(order, sorted(cuts))
    model = LinearDiffusion(**PLAIN, standardize=standardize, ridge=0.01)
    whole = clone(model).fit(images, y)
    for part in parts:
        assert model.partial_fit(images[part], y[part]) is model
    require_the_same(model, whole, images[:20])


def test_prompts_that_come_later_find_their_place(grey: Digits) -> None:
    images, y = grey
    model = LinearDiffusion(**PLAIN).partial_fit(images[y >= 5], y[y >= 5])
    assert_array_equal(model.classes_, np.arange(5, 10))
    model.partial_fit(images[y < 5], y[y < 5])
    require_the_same(model, LinearDiffusion(**PLAIN).fit(images, y), images[:20].astype(float))
    assert model.sample(prompts=["3"])[0].dtype == np.uint8


def test_parameters_may_change_between_batches(grey: Digits) -> None:
    images, y = grey
    model = LinearDiffusion(**PLAIN).partial_fit(images[:900], y[:900])
    model.set_params(latent_dim=9).partial_fit(images[900:], y[900:])
    require_the_same(model, LinearDiffusion(styles=1, latent_dim=9).fit(images, y), images[:20].astype(float))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "styles=1, not styles=165: only there all that is learned is a sum over images"),
        ({"styles": 1, "training": "sampled"}, "training='exact', not training='sampled'"),
        ({"styles": 1, "text_encoder": "words"}, "text_encoder='one-hot', not"),
    ],
)
def test_what_is_no_sum_is_not_offered(grey: Digits, parameters: dict[str, object], message: str) -> None:
    model = LinearDiffusion(**parameters)
    assert not hasattr(model, "partial_fit")
    with pytest.raises(AttributeError, match="partial_fit") as refused:
        model.partial_fit(*grey)
    assert message in str(refused.value.__cause__)


def test_a_batch_that_does_not_fit_is_refused_and_nothing_is_lost(
    grey: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, y = grey
    model = LinearDiffusion(**PLAIN).partial_fit(images[:900], y[:900])
    for X, message in (
        (images[900:, :4], r"images of shape \(4, 8\)"),
        (images[900:] / 1.0, "unlike images do not combine: dtype uint8 here and float64 there"),
        (images[900:950], "y has shape"),
    ):
        with pytest.raises(ValueError, match=message):
            model.partial_fit(X, y[900:])
    with monkeypatch.context() as patch, pytest.raises(NotEnoughMemoryError):
        patch.setattr("linear_diffusion.fit.encoder.available_memory", lambda: 1)
        model.partial_fit(images[900:], y[900:])
    model.partial_fit(images[900:], y[900:])
    require_the_same(model, LinearDiffusion(**PLAIN).fit(images, y), images[:20].astype(float))


def test_floats_beyond_the_range_of_the_first_batch_are_refused(digits: Digits) -> None:
    images, y = digits
    model = LinearDiffusion(**PLAIN).partial_fit(images[:900], y[:900])
    with pytest.raises(ValueError, match="pixel_range=None"):
        model.partial_fit(2 * images[900:], y[900:])


def test_after_fit_it_starts_anew_and_says_so(grey: Digits) -> None:
    images, y = grey
    model = LinearDiffusion(**PLAIN).partial_fit(images, y)
    model.fit(images[:900], y[:900])
    with pytest.warns(UserWarning, match="starts anew: fit keeps no sums"):
        model.partial_fit(images[900:], y[900:])
    require_the_same(model, LinearDiffusion(**PLAIN).fit(images[900:], y[900:]), images[:20].astype(float))


def test_nothing_is_left_of_another_way_of_training(grey: Digits) -> None:
    images, y = grey
    model = LinearDiffusion(**PLAIN, training="sampled", random_state=0).fit(images, y)
    with pytest.warns(UserWarning, match="starts anew"):
        model.set_params(training="exact").partial_fit(images, y)
    whole = LinearDiffusion(**PLAIN, random_state=0).fit(images, y)
    assert_allclose(model.sample(50)[0].astype(int), whole.sample(50)[0].astype(int), atol=1)


def test_too_many_pixels_are_refused_before_any_work() -> None:
    with pytest.raises(
        ValueError, match=r"moments of pixels keep 1 matrices of 4,900 x 4,900 numbers, .* use smaller images"
    ):
        LinearDiffusion(**PLAIN).partial_fit(np.zeros((3, 70, 70), np.uint8))


@parametrize_with_checks([LinearDiffusion(**PLAIN)])
def test_scikit_learns_own_checks_with_partial_fit(estimator: LinearDiffusion, check: object) -> None:
    check(estimator)


# From moments alone

SETTINGS = {"latent_dim": 20, "random_state": 0}


def require_equal(found: LinearDiffusion, whole: LinearDiffusion) -> None:
    """Models that are one but for rounding; samples of a seed to a grey level."""
    assert_array_equal(found.classes_, whole.classes_)
    assert found.n_images_ == whole.n_images_
    assert found.n_features_in_ == whole.n_features_in_
    assert found.decoder_.image == whole.decoder_.image
    for name in ("components_", "means_", "covariances_", "weights_"):
        assert_allclose(getattr(found, name), getattr(whole, name), rtol=1e-10, atol=1e-10)
    for name in ("mean", "std", "variances"):
        assert_allclose(getattr(found.encoder_, name), getattr(whole.encoder_, name), rtol=1e-10, atol=1e-10)
    (drawn, _), (wanted, _) = (model.sample(100, random_state=5) for model in (found, whole))
    assert drawn.dtype == wanted.dtype
    step = 1 if drawn.dtype.kind == "u" else 1 / 255
    assert_allclose(drawn.astype(float), wanted.astype(float), atol=1.01 * step)


@pytest.mark.parametrize("parameters", [{}, {"standardize": True, "ridge": 0.1}, {"schedule": "one-step"}])
@pytest.mark.parametrize("scale", [None, 1.0, 1e-3, 1e7])
def test_a_model_from_moments_is_one_from_images(grey: Digits, scale: float | None, parameters: dict) -> None:
    images, y = grey
    if scale is not None:
        images = images / 255 * scale
    pixel_range = "auto" if scale is None else (0.0, scale)
    parameters = SETTINGS | parameters
    moments = sum_of([Moments.fit(images[i::4], y[i::4], pixel_range) for i in range(4)])
    model = LinearDiffusion.from_moments(moments, **parameters)
    whole = LinearDiffusion(styles=1, pixel_range=pixel_range, **parameters).fit(images, y)
    require_equal(model, whole)
    assert_allclose(model.score_samples(images[:9]), whole.score_samples(images[:9]), rtol=1e-8)


def sum_of(parts: list[Moments]) -> Moments:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def test_without_its_images_a_contributor_was_never_there(grey: Digits) -> None:
    """Theirs are of all prompts, and of one that nobody else has."""
    images, y = grey
    theirs = (np.arange(len(y)) % 3 == 0) | (y == 9)
    whole = Moments.fit(images[~theirs], y[~theirs]) + Moments.fit(images[theirs], y[theirs])
    assert LinearDiffusion.from_moments(whole).classes_.tolist() == list(range(10))
    left = whole - Moments.fit(images[theirs], y[theirs])
    model = LinearDiffusion.from_moments(left, **SETTINGS)
    never = LinearDiffusion(styles=1, **SETTINGS).fit(images[~theirs], y[~theirs])
    assert model.classes_.tolist() == list(range(9))
    require_equal(model, never)


def test_colours_and_rows_and_one_prompt(rgb: np.ndarray, digits: Digits) -> None:
    for images, pixel_range in ((rgb, "auto"), (digits[0].reshape(-1, 64), (0, 1)), (digits[0] - 0.5, None)):
        moments = Moments.fit(images[:100], pixel_range=pixel_range) + Moments.fit(
            images[100:], pixel_range=pixel_range
        )
        whole = LinearDiffusion(styles=1, pixel_range=pixel_range, **SETTINGS).fit(images)
        require_equal(LinearDiffusion.from_moments(moments, **SETTINGS), whole)


def test_a_model_that_came_by_sums_gives_them_and_takes_more(grey: Digits) -> None:
    images, y = grey
    model = LinearDiffusion(styles=1, **SETTINGS).partial_fit(images[:500], y[:500])
    assert repr(model.moments_) == repr(Moments.fit(images[:500], y[:500]))
    again = LinearDiffusion.from_moments(model.moments_, **SETTINGS).partial_fit(images[500:], y[500:])
    require_equal(again, LinearDiffusion(styles=1, **SETTINGS).fit(images, y))
    assert again.moments_.counts.sum() == len(y)
    fitted = LinearDiffusion(styles=1, **SETTINGS).fit(images, y)
    assert not hasattr(fitted, "moments_")
    with pytest.raises(AttributeError, match="fit keeps no sums"):
        fitted.moments_  # noqa: B018


def test_latent_dim_is_144_unless_it_is_given(grey: Digits) -> None:
    model = LinearDiffusion.from_moments(Moments.fit(*grey))
    assert (model.styles, model.latent_dim) == (1, 144)
    assert LinearDiffusion.from_moments(Moments.fit(*grey), latent_dim=0.9).latent_dim == 0.9


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"styles": 165}, "styles=165 needs images: moments are sums over them, from which styles=1 learns all"),
        ({"training": "sampled"}, "training='sampled' needs images"),
        ({"text_encoder": "words"}, "text_encoder='words' needs images"),
        ({"pixel_range": (0, 1)}, "it is that of the moments"),
        ({"latent_dim": 0}, "'latent_dim' parameter"),
    ],
)
def test_what_moments_do_not_know_is_refused(grey: Digits, parameters: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LinearDiffusion.from_moments(Moments.fit(*grey), **parameters)


def test_moments_of_no_pixels_are_refused(grey: Digits) -> None:
    images, y = grey
    whole, rows = Moments.fit(images, y), images.reshape(-1, 64)
    with pytest.raises(ValueError, match=r"1,797 rows of 64 features, 10 prompts.* do not say what images look like"):
        LinearDiffusion.from_moments(Moments.of(rows, y, np.arange(10)))
    with pytest.raises(ValueError, match=r"Moments\(0 images .* are no moments of pixels of each prompt"):
        LinearDiffusion.from_moments(whole - whole)
    with pytest.raises(TypeError, match="moments must be Moments, got ndarray"):
        LinearDiffusion.from_moments(images)


def test_prompts_of_one_image_are_said(grey: Digits) -> None:
    images, y = grey[0], np.where(np.arange(len(grey[1])) == 7, 10, grey[1])
    with pytest.warns(UserWarning, match=r"1 prompt has 1 image only \(10\)"):
        LinearDiffusion.from_moments(Moments.fit(images, y), latent_dim=5)


def test_memory_is_asked_for_first(grey: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = Moments.fit(*grey)
    monkeypatch.setattr("linear_diffusion.fit.encoder.available_memory", lambda: 1)
    monkeypatch.setattr("linear_diffusion.fit.sums.encoder_from", lambda *_: pytest.fail("work has begun"))
    with pytest.raises(NotEnoughMemoryError, match="use smaller images or fewer prompts"):
        LinearDiffusion.from_moments(moments)
