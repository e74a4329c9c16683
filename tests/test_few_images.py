"""Data that do not vary, prompts of one image, and sampled training with too few draws: answers, or a word before."""

import re
import warnings
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linear_diffusion import LinearDiffusion
from linear_diffusion.operators import inpaint

RAMP = np.arange(64.0).reshape(8, 8)
ALIKE = [
    np.zeros((5, 8, 8), np.uint8),
    np.tile(RAMP.astype(np.uint8), (5, 1, 1)),
    np.full((5, 8, 8), 0.3),
    np.tile(RAMP.astype(np.float32) / 64, (5, 1, 1)),
    np.tile(RAMP * 1e6 + 1e9, (5, 1, 1)),
]


@pytest.mark.parametrize("X", ALIKE, ids=["zeros", "bytes", "constant", "float32", "far"])
@pytest.mark.parametrize("how", [{"styles": 1}, {}, {"standardize": True}, {"text_encoder": "words"}], ids=str)
def test_images_all_alike_say_nothing_of_their_prompts(X: np.ndarray, how: dict[str, Any]) -> None:
    """Bayes' rule gives the frequencies, for these images and any others; and nothing is NaN or without end."""
    other = (X.max() - X if np.ptp(X) else X + X.dtype.type(1)).astype(X.dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        model = LinearDiffusion(random_state=0, **how).fit(X, list("aabbb"))
        for images in (X, other):
            assert_allclose(model.predict_proba(images), np.tile([0.4, 0.6], (5, 1)), rtol=1e-9)
            assert model.predict(images).tolist() == ["b"] * 5
            assert np.isfinite(model.score_samples(images)).all()
        assert (model.score_samples(X, list("aabbb")) > model.score_samples(other, list("aabbb"))).all()
        assert abs(model.score(X)) < 1e4
        mask = np.zeros((8, 8), bool)
        mask[2:4, 2:4] = True
        assert_allclose(model.restore(X, inpaint(mask)), X, rtol=1e-6, atol=1e-6)
        assert np.isfinite(model.denoise(other, float(np.ptp(other)) + 1.0)).all()
        assert_allclose(model.sample(3)[0].astype(float), X[:3].astype(float), rtol=1e-2, atol=1)


def test_one_image_alone_is_a_model_of_itself() -> None:
    with pytest.warns(UserWarning, match=r"1 prompt has 1 image only \(''\)"):
        model = LinearDiffusion(random_state=0).fit(RAMP[None].astype(np.uint8))
    assert_array_equal(model.predict_proba(RAMP[None].astype(np.uint8)), [[1.0]])
    assert_allclose(model.sample(2)[0], np.stack([RAMP, RAMP]), atol=1)


def test_identical_images_under_two_prompts_have_a_likelihood_of_ordinary_size() -> None:
    X = np.tile(RAMP.astype(np.uint8), (3, 1, 1))
    scores = LinearDiffusion(ridge=1e-9).fit(X, list("aab")).score_samples(X)
    assert (np.abs(scores) < 1e3).all()


def test_prompts_of_one_image_are_named_once() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.random((20, 4, 4)), np.r_[np.repeat(["a", "b"], 5), [f"p{i}" for i in range(10)]]
    with pytest.warns(UserWarning) as caught:
        LinearDiffusion(styles=1).fit(X, y)
    assert [str(w.message)[:70] for w in caught] == [
        "10 prompts have 1 image only ('p0', 'p1', 'p2', 'p3', 'p4', ...): what"
    ]
    assert caught[0].filename == __file__
    # With styles they lean on the others: what is sampled for them varies.
    for model in (LinearDiffusion(), LinearDiffusion(styles=1, ridge=0.1), LinearDiffusion(text_encoder="words")):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.fit(X, y)
            assert model.sample(9, "p0", random_state=0)[0].std(axis=0).mean() > 0.01


@pytest.mark.parametrize("counts", [[1], [1, 1, 1], [1, 40], [40, 1, 50]], ids=str)
def test_a_prompt_of_one_image_that_has_none_to_lean_on_is_that_image(counts: list[int]) -> None:
    """Where it is the only prompt of few images, or all others of few images have one as well."""
    X, y = np.random.default_rng(1).random((sum(counts), 4, 4)), np.repeat(np.arange(len(counts)), counts)
    single = np.flatnonzero(np.array(counts) == 1)
    with pytest.warns(UserWarning, match=f"{len(single)} prompts? (has|have) 1 image only") as caught:
        model = LinearDiffusion(random_state=0).fit(X, y)
    assert len(caught) == 1
    for j in single.tolist():
        assert_allclose(model.sample(5, j)[0], np.repeat(X[y == j], 5, axis=0), atol=3 / 255)  # their tone curve is one


@pytest.mark.parametrize(
    ("parameters", "messages"),
    [
        ({}, ["styles=165 is not used; set styles=1", "Set latent_dim=10 or less, n_draws=2 or more"]),
        ({"styles": 1, "latent_dim": 11}, ["prompt 'b' has 20 noisy latents only.* Set latent_dim=10 or less"]),
        ({"styles": 1, "latent_dim": 10}, []),
        ({"styles": 1, "n_draws": 2}, []),
    ],
)
def test_sampled_training_says_what_it_needs_before_work(parameters: dict[str, Any], messages: list[str]) -> None:
    X, y = np.random.default_rng(0).random((50, 4, 4)), np.repeat(["a", "b"], [30, 20])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        LinearDiffusion(training="sampled", **parameters).fit(X, y)
    said = [str(w.message) for w in caught if w.category is UserWarning]
    assert len(said) == len(messages)
    assert all(re.search(message, text) for text, message in zip(said, messages, strict=True))
