"""The estimator: conventions of scikit-learn, prompts, sampling by name, and every argument that is refused."""

import pickle
import tracemalloc
import warnings
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from linear_diffusion import LinearDiffusion, NotEnoughMemoryError, UnknownPromptError
from linear_diffusion.denoiser.gaussian import eps_hat
from linear_diffusion.fit.encoder import training_noise
from linear_diffusion.noise import SCHEDULES, Level
from linear_diffusion.sampler import SAMPLERS
from linear_diffusion.utils.streams import BLOCK, start_noise

Digits = tuple[np.ndarray, np.ndarray]
NAMES = ["exact", *SAMPLERS]
DETERMINISTIC = [name for name in NAMES if name != "ddpm"]


@pytest.fixture(scope="module")
def small() -> LinearDiffusion:
    """Two prompts, three pixels, two components: so small that samples by the thousand cost nothing."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((90, 3)) @ rng.standard_normal((3, 3)), np.repeat(["a", "b"], [30, 60])
    return LinearDiffusion(styles=1, latent_dim=2, random_state=0).fit(X + (y == "a")[:, None], y)


def steps(name: str, n: int = 5) -> dict[str, Any]:
    """Keywords that ask for a sampler with few steps."""
    return {"sampler": name} if name in ("exact", "one-step") else {"sampler": name, "n_steps": n}


# scikit-learn's conventions


@parametrize_with_checks(
    [
        LinearDiffusion(),
        LinearDiffusion(styles=1),
        LinearDiffusion(styles=3, latent_dim=0.9, standardize=True),
        LinearDiffusion(training="sampled", random_state=0),
        LinearDiffusion.one_shot(random_state=0),
    ],
)
def test_scikit_learns_checks_pass(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("parameters", [{}, {"styles": 1}])
def test_scikit_learns_checks_pass_whole_and_without_numerical_warnings(parameters: dict) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        results = check_estimator(LinearDiffusion(**parameters), on_skip=None, on_fail="raise")
    assert len(results) > 40
    assert {r["status"] for r in results} <= {"passed", "skipped"}
    # Skipped are those that do not apply: array API, and metadata routing.
    assert sum(r["status"] == "skipped" for r in results) <= 3


def test_clone_is_unfitted_and_has_the_same_parameters(model: LinearDiffusion) -> None:
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        copy.sample()


def test_pickle_gives_the_same_samples(model: LinearDiffusion) -> None:
    assert_array_equal(pickle.loads(pickle.dumps(model)).sample(5)[0], model.sample(5)[0])


def test_pipeline_scores_and_encodes_what_the_steps_do(digits: Digits) -> None:
    rows, y = digits[0].reshape(-1, 64), digits[1]
    pipeline = make_pipeline(StandardScaler(), LinearDiffusion(styles=1, latent_dim=5)).fit(rows, y)
    scaled = StandardScaler().fit_transform(rows)
    alone = LinearDiffusion(styles=1, latent_dim=5).fit(scaled, y)
    assert_allclose(pipeline.transform(rows), alone.transform(scaled))
    assert_allclose(pipeline.score(rows, y), alone.score(scaled, y))
    assert_allclose(pipeline.score_samples(rows[:5]), alone.score_samples(scaled[:5]))


def test_grid_search_over_latent_dim_picks_the_likeliest(digits: Digits) -> None:
    rows, y = digits[0].reshape(-1, 64)[:600], digits[1][:600]
    search = GridSearchCV(LinearDiffusion(styles=1, ridge=1e-3), {"latent_dim": [1, 5, 15]}, cv=3).fit(rows, y)
    scores = [
        cross_val_score(LinearDiffusion(styles=1, ridge=1e-3, latent_dim=k), rows, y, cv=3).mean() for k in (1, 5, 15)
    ]
    assert_allclose(search.cv_results_["mean_test_score"], scores)
    assert search.best_params_ == {"latent_dim": [1, 5, 15][int(np.argmax(scores))]}
    assert search.best_estimator_.latent_dim_ == search.best_params_["latent_dim"]
    assert len(search.best_estimator_.sample(3)[0]) == 3


def test_a_fitted_model_serves_every_schedule(small: LinearDiffusion) -> None:
    model = clone(small).fit(small.sample(200, random_state=1)[0])
    seen = set()
    for schedule in SCHEDULES:
        by_set_params = model.set_params(schedule=schedule).sample(4, sampler="heun", n_steps=1, random_state=0)[0]
        # "one-step" alone changes the fit: latents keep their own scale.
        if schedule != "one-step":
            anew = (
                clone(model)
                .fit(small.sample(200, random_state=1)[0])
                .sample(4, sampler="heun", n_steps=1, random_state=0)
            )
            assert_array_equal(by_set_params, anew[0])
        seen.add(
            model.sample(4, random_state=0, sampler="ddim", n_steps=1 if schedule == "one-step" else 9)[0].tobytes()
        )
    assert len(seen) == len(SCHEDULES)
    with pytest.raises(ValueError, match="schedule"):
        model.set_params(schedule="cosin").sample()


def test_data_frames_and_series_are_read_with_their_names(digits: Digits) -> None:
    pd = pytest.importorskip("pandas")
    rows, y = digits[0].reshape(-1, 64), digits[1]
    frame = pd.DataFrame(rows, columns=[f"pixel {i}" for i in range(64)])
    from_frame = LinearDiffusion(styles=1, latent_dim=4).fit(frame, pd.Series(y.astype(str)))
    assert list(from_frame.feature_names_in_) == list(frame.columns)
    assert_array_equal(
        from_frame.transform(frame), LinearDiffusion(styles=1, latent_dim=4).fit(rows, y).transform(rows)
    )
    with pytest.raises(ValueError, match="feature names should match"):
        from_frame.transform(frame[frame.columns[::-1]])
    from_frame.fit(digits[0], y)
    assert not hasattr(from_frame, "feature_names_in_")


def test_lists_are_read_as_arrays(digits: Digits) -> None:
    images, y = digits[0][:50], digits[1][:50]
    from_lists = LinearDiffusion(styles=1, latent_dim=3).fit(images.tolist(), y.tolist())
    assert_array_equal(from_lists.means_, LinearDiffusion(styles=1, latent_dim=3).fit(images, y).means_)
    assert from_lists.image_shape_ == (8, 8)


def test_learned_attributes_are_what_they_say(digits: Digits) -> None:
    images, y = digits
    model = LinearDiffusion(styles=1, latent_dim=7, ridge=0.25).fit(images, y)
    z = model.transform(images)
    assert_array_equal(model.classes_, np.arange(10))
    assert_allclose(model.weights_, np.bincount(y) / len(y))
    for c in range(10):
        assert_allclose(model.means_[c], z[y == c].mean(axis=0), atol=1e-10)
        assert_allclose(model.covariances_[c], np.cov(z[y == c].T, bias=True) + 0.25 * np.eye(7), atol=1e-9)
    assert (model.latent_dim_, model.n_features_in_, model.n_images_) == (7, 64, 1797)
    assert model.image_shape_ == (8, 8)
    assert_allclose(
        model.scaling_factor_, 1 / np.sqrt(PCA(7).fit(images.reshape(-1, 64)).explained_variance_.mean()), rtol=1e-3
    )


def test_fitting_again_forgets_the_first_fit(grey: Digits, rgb: np.ndarray) -> None:
    model = LinearDiffusion(styles=1, latent_dim=4, random_state=0).fit(rgb)
    assert_array_equal(model.fit(*grey).sample(4)[0], clone(model).fit(*grey).sample(4)[0])
    model.set_params(styles=1).fit(*grey)
    assert_array_equal(model.sample(4)[0], clone(model).fit(*grey).sample(4)[0])


# The same kind comes out


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3), (4, 5, 1), (20,)])
@pytest.mark.parametrize("styles", [1, 3])
def test_an_image_comes_out_as_it_went_in(dtype: type, shape: tuple[int, ...], styles: int) -> None:
    X = (np.random.default_rng(0).integers(0, 256, (30, *shape)) / (1 if dtype == np.uint8 else 255)).astype(dtype)
    model = LinearDiffusion(styles=styles, latent_dim=3, random_state=0).fit(X)
    flat = X.reshape(30, -1)
    for images in (
        model.sample(4)[0],
        model.sample(4, sampler="ddim", n_steps=3, return_trajectory=True)[2][1],
        model.inverse_transform(model.transform(X)),
        model.denoise(X, 0.1),
    ):
        assert images.dtype == dtype
        assert images.shape[1:] == shape
        if dtype != np.uint8 and len(shape) > 1 and images is not X:
            assert np.isfinite(images).all()
    assert_array_equal(model.transform(flat), model.transform(X))
    assert_array_equal(model.denoise(flat, 0.1), model.denoise(X, 0.1).reshape(30, -1))
    assert_array_equal(model.score_samples(flat), model.score_samples(X))
    assert model.transform(X).dtype == (np.float64 if dtype == np.float64 else np.float32)


# The denoiser, and the article's model


def test_denoised_and_decoded_image_tends_to_its_projection_and_to_the_mean_image(digits: Digits) -> None:
    images = digits[0]
    model = LinearDiffusion(styles=1, latent_dim=10).fit(images.reshape(-1, 64))
    denoiser, pca = model.denoiser(""), PCA(10, svd_solver="full").fit(images.reshape(-1, 64))
    rows = images[:5].reshape(5, -1)

    def decoded(level: Level) -> np.ndarray:
        return model.inverse_transform(denoiser.z0(level)(level.alpha * model.transform(rows)))

    assert_allclose(decoded(Level(1.0, 1e-6)), pca.inverse_transform(pca.transform(rows)), atol=1e-9)
    assert_allclose(decoded(Level(1.0, 1e6)), np.tile(pca.mean_, (5, 1)), atol=1e-9)
    assert_allclose(decoded(Level(0.0, 1.0)), np.tile(pca.mean_, (5, 1)), atol=1e-9)


@pytest.mark.parametrize("n_draws", [1, 3])
def test_one_shot_is_the_articles_recipe_by_scikit_learn(digits: Digits, n_draws: int) -> None:
    rows, y = digits[0].reshape(-1, 64), digits[1]
    k, seed = 12, 5
    ours = LinearDiffusion.one_shot(latent_dim=k, n_draws=n_draws, random_state=seed).fit(rows, y)

    scaler = StandardScaler().fit(rows)
    pca = PCA(k, svd_solver="full").fit(scaler.transform(rows))
    signs = np.sign((pca.components_ * ours.components_).sum(axis=1))
    code = OneHotEncoder(sparse_output=False).fit(y[:, None])

    def features(z_t: np.ndarray, labels: np.ndarray) -> np.ndarray:
        c = code.transform(labels[:, None])
        return np.hstack([z_t, c, np.einsum("nc,nk->nck", c, z_t).reshape(len(c), -1)])

    z = pca.transform(scaler.transform(rows))
    noise = [training_noise(seed, draw, 0, z) * signs for draw in range(n_draws)]
    noisy, labels = np.vstack([z + eps for eps in noise]), np.tile(y, n_draws)
    regression = LinearRegression().fit(features(noisy, labels), np.vstack(noise))

    predicted = regression.predict(features(noisy, labels))
    for c in range(10):
        own = labels == c
        found = eps_hat(ours.denoiser(c), noisy[own] * signs, Level(1.0, 1.0)) * signs
        assert_allclose(found, predicted[own], atol=1e-8)

    eps = start_noise(9, 0, 10, k) * signs
    restored = eps - regression.predict(features(eps, np.arange(10)))
    images = scaler.inverse_transform(pca.inverse_transform(restored))
    assert_allclose(ours.sample(prompts=np.arange(10), random_state=9)[0], images, atol=1e-5)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, "exact"),
        ({"schedule": "one-step"}, "one-step"),
        ({"training": "sampled"}, "ddim"),
        ({"training": "sampled", "schedule": "one-step"}, "one-step"),
    ],
)
def test_default_sampler_is_the_one_that_the_training_calls_for(parameters: dict, expected: str) -> None:
    X = np.random.default_rng(0).standard_normal((50, 3))
    model = LinearDiffusion(styles=1, latent_dim=2, random_state=0, **parameters).fit(X)
    assert_array_equal(model.sample(4)[0], model.sample(4, sampler=expected)[0])
    assert any((model.sample(4)[0] != model.sample(4, **steps(n, 3))[0]).any() for n in ("ddpm", "heun"))


@pytest.mark.parametrize("schedule", sorted(SCHEDULES))
def test_default_steps_are_a_thousand_for_ddpm_fifty_for_others_one_for_the_one_step_schedule(schedule: str) -> None:
    X = np.random.default_rng(0).standard_normal((50, 3))
    model = LinearDiffusion(styles=1, latent_dim=2, random_state=0, schedule=schedule).fit(X)
    for name, n in [("ddpm", 1000), ("ddim", 50), ("heun", 50), ("exact", 50)]:
        path = model.sample(1, sampler=name, return_trajectory=True)[2]
        assert len(path) == (1 if schedule == "one-step" else n) + 1


def test_exact_and_sampled_training_agree_more_the_more_is_drawn(digits: Digits) -> None:
    rows, y = digits[0].reshape(-1, 64), digits[1]
    exact = (
        LinearDiffusion(styles=1, latent_dim=5, random_state=0)
        .fit(rows, y)
        .sample(20, 3, sampler="ddim", n_steps=20)[0]
    )
    errors = []
    for n_draws in (1, 16, 256):
        sampled = LinearDiffusion(latent_dim=5, training="sampled", n_draws=n_draws, random_state=0).fit(rows, y)
        errors.append(np.sqrt(((sampled.sample(20, 3, sampler="ddim", n_steps=20)[0] - exact) ** 2).mean()))
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


# Samples


@pytest.mark.parametrize("prompt", ["a", "b"])
def test_exact_samples_have_the_models_mean_and_covariance(small: LinearDiffusion, prompt: str) -> None:
    n = 60_000
    z = small.transform(small.sample(n, prompt, random_state=1)[0])
    j = list(small.classes_).index(prompt)
    spread = np.sqrt(np.diag(small.covariances_[j]))
    assert_allclose((z.mean(axis=0) - small.means_[j]) / spread, 0.0, atol=4 / np.sqrt(n))
    assert_allclose((np.cov(z.T) - small.covariances_[j]) / np.outer(spread, spread), 0.0, atol=6 / np.sqrt(n))


@pytest.mark.parametrize("prompts", ["a", None])
@pytest.mark.parametrize("name", ["exact", "ddpm", "ddim"])
def test_an_image_does_not_depend_on_how_many_are_asked_for(small: LinearDiffusion, prompts: Any, name: str) -> None:
    many, labels = small.sample(2 * BLOCK + 3, prompts, **steps(name))
    for n in (1, 2, 5, BLOCK - 1, BLOCK, BLOCK + 1):
        few, few_labels = small.sample(n, prompts, **steps(name))
        assert_allclose(few, many[:n], atol=2e-6)
        assert_array_equal(few_labels, labels[:n])
    assert len(np.unique(many, axis=0)) == len(many)  # no two blocks repeat each other


@pytest.mark.parametrize("name", ["exact", "ddpm", "ddim"])
def test_a_trajectory_does_not_depend_on_how_many_are_asked_for(small: LinearDiffusion, name: str) -> None:
    arguments = {**steps(name), "n_steps": 4, "return_trajectory": True}
    many = small.sample(BLOCK + 3, **arguments)[2]
    for n in (1, 5, BLOCK, BLOCK + 1):
        assert_allclose(small.sample(n, **arguments)[2], many[:, :n], atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_does_not_depend_on_the_prompts_of_others(small: LinearDiffusion, name: str) -> None:
    mixed = small.sample(prompts=["a", "b", "b", "a"], **steps(name))[0]
    for prompts in (["a", "a", "a", "a"], ["b", "b", "b", "b"], ["a", "b", "a", "b"]):
        same = np.array(prompts) == ["a", "b", "b", "a"]
        assert_allclose(small.sample(prompts=prompts, **steps(name))[0][same], mixed[same], atol=2e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fixture", ["model", "sampled_model"])
def test_trajectory_ends_at_the_images_and_at_the_compiled_ones(name: str, fixture: str, request: Any) -> None:
    model = request.getfixturevalue(fixture)
    if fixture == "sampled_model" and name == "exact":
        return
    n_steps = 1 if name == "one-step" else 6
    images, labels, path = model.sample(30, sampler=name, n_steps=n_steps, return_trajectory=True)
    assert path.shape == (n_steps + 1, 30, 8, 8)
    assert_array_equal(path[-1], images)
    compiled, compiled_labels = model.sample(30, **steps(name, n_steps))
    assert_array_equal(labels, compiled_labels)
    # The digits' tones are multiples of 16, so that rounding may lift a pixel to the next, but rarely does.
    difference = np.abs(images.astype(int) - compiled)
    assert difference.max() <= 16
    assert (difference > 1).sum() <= 2
    assert (images != path[-2]).any()


def test_ddpm_images_have_the_same_law_compiled_or_looped(small: LinearDiffusion) -> None:
    n, arguments = 40_000, {"prompts": "a", "sampler": "ddpm", "n_steps": 5}
    compiled = small.sample(n, **arguments)[0]
    looped = small.sample(n, **arguments, return_trajectory=True, random_state=1)[0]
    scale = compiled.std(axis=0)
    assert_allclose((looped.mean(axis=0) - compiled.mean(axis=0)) / scale, 0.0, atol=6 / np.sqrt(n))
    assert_allclose((np.cov(looped.T) - np.cov(compiled.T)) / np.outer(scale, scale), 0.0, atol=9 / np.sqrt(n))


def test_eta_one_is_ddpm_and_eta_zero_is_euler(small: LinearDiffusion) -> None:
    def draw(name: str, **arguments: Any) -> np.ndarray:
        return small.sample(6, sampler=name, n_steps=7, return_trajectory=True, **arguments)[2]

    assert_allclose(draw("ddim", eta=1.0), draw("ddpm"), atol=1e-12)
    assert_array_equal(draw("ddim", eta=0.0), draw("euler"))
    assert np.abs(draw("ddim", eta=0.5) - draw("ddim")).max() > 0.01


def test_random_state_is_an_int_a_random_state_a_generator_or_none(small: LinearDiffusion) -> None:
    def draw(random_state: Any) -> np.ndarray:
        return small.sample(3, random_state=random_state)[0]

    assert_array_equal(draw(7), draw(np.int64(7)))
    for make in (np.random.RandomState, np.random.default_rng):
        assert_array_equal(draw(make(7)), draw(make(7)))
        advanced = make(7)
        assert (draw(advanced) != draw(advanced)).any()
    assert (draw(7) != draw(8)).any()
    assert_array_equal(draw(None), draw(0))  # the constructor's
    fresh = clone(small).set_params(random_state=None).fit(small.sample(20)[0])
    assert (fresh.sample(3)[0] != fresh.sample(3)[0]).any()
    before = np.random.get_state()[1].copy()  # noqa: NPY002, the global state is what must not move
    draw(None)
    assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_start_and_training_noise_and_prompts_have_streams_of_their_own(digits: Digits) -> None:
    """A sample that reused the noise of training would show the training image."""
    rows = digits[0].reshape(-1, 64)
    z = LinearDiffusion.one_shot(latent_dim=3, random_state=0).fit_transform(rows)
    assert np.abs(np.corrcoef(training_noise(0, 0, 0, z)[:1000, 0], start_noise(0, 0, 1000, 3)[:, 0])[0, 1]) < 0.15


def test_ridge_adds_to_every_prompts_covariance(digits: Digits) -> None:
    rows, y = digits[0].reshape(-1, 64), digits[1]
    narrow, wide = (LinearDiffusion(styles=1, latent_dim=5, ridge=r, random_state=0).fit(rows, y) for r in (0.0, 3.0))
    assert_allclose(wide.covariances_ - narrow.covariances_, np.broadcast_to(3 * np.eye(5), (10, 5, 5)), atol=1e-9)


def test_ridge_adds_to_the_latents_of_sampled_training_and_not_to_the_noise(digits: Digits) -> None:
    rows, y = digits[0].reshape(-1, 64), digits[1]
    plain, damped = (
        LinearDiffusion(latent_dim=3, training="sampled", ridge=r, random_state=0).fit(rows, y) for r in (0.0, 0.5)
    )
    for c in range(10):
        added = damped.denoiser(c).covariances - plain.denoiser(c).covariances
        assert_allclose(added, np.diag([0.5] * 3 + [0.0] * 3), atol=1e-12)


def test_only_the_last_picture_of_a_trajectory_has_the_tone_curve(grey: Digits, model: LinearDiffusion) -> None:
    plain = LinearDiffusion(styles=1, latent_dim=12, tone=False, random_state=0).fit(*grey)
    for name in ("exact", "ddim"):
        toned, raw = (m.sample(5, sampler=name, n_steps=4, return_trajectory=True)[2] for m in (model, plain))
        assert_array_equal(toned[:-1], raw[:-1])
        assert (toned[-1] != raw[-1]).any()


def test_output_that_does_not_fit_is_refused(small: LinearDiffusion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linear_diffusion.arguments.available_memory", lambda: 10**6)
    assert len(small.sample(1000)[0]) == 1000
    small.sample(1000, sampler="ddim", n_steps=5, return_trajectory=True)
    with pytest.raises(NotEnoughMemoryError, match="drawing 1,000 images"):
        small.sample(1000, sampler="ddim", n_steps=50, return_trajectory=True)
    tracemalloc.start()
    for n in (10**5, 3 * 10**8, 10**12):
        message = rf"drawing {n:,} images of shape \(3,\) takes .*sample in parts"
        with pytest.raises(NotEnoughMemoryError, match=message):
            small.sample(n)
    assert tracemalloc.get_traced_memory()[1] < 10**5  # nothing was drawn
    tracemalloc.stop()


# Prompts


@pytest.mark.parametrize(
    "y",
    [
        np.array([3, 8, 3, 8, 10]),
        np.array([3.0, 8.0, 3.0, 8.0, 10.5]),
        np.array(["3", "8", "3", "8", "10"]),
        np.array(["3", "8", "3", "8", "10"], dtype=object),
        np.array([True, False, True, False, True]),
        np.array([3, 8, 3, 8, 10], dtype=np.uint8),
    ],
)
def test_prompts_keep_the_dtype_of_the_labels(y: np.ndarray) -> None:
    X = np.random.default_rng(0).standard_normal((5, 3))
    model = LinearDiffusion().fit(X, y)
    assert_array_equal(model.classes_, np.unique(y))
    assert model.classes_.dtype == y.dtype
    prompts = model.sample(prompts=y)[1]
    assert prompts.dtype == y.dtype
    assert_array_equal(prompts, y)
    assert_array_equal(model.sample(prompts=[str(p) for p in y])[1], y)


def test_no_labels_are_one_empty_prompt() -> None:
    X = np.random.default_rng(0).standard_normal((9, 3))
    one, named = (LinearDiffusion(random_state=0).fit(X, y) for y in (None, ["x"] * 9))
    assert one.classes_.tolist() == [""]
    assert_array_equal(one.sample(4)[0], named.sample(4, "x")[0])
    assert_array_equal(one.sample(4, "")[0], one.sample(4)[0])


def test_counts_of_samples_and_prompts_go_together(small: LinearDiffusion) -> None:
    assert len(small.sample()[0]) == 1
    assert len(small.sample(3)[0]) == 3
    assert small.sample(prompts="a")[1].tolist() == ["a"]
    assert small.sample(2, prompts="a")[1].tolist() == ["a", "a"]
    assert small.sample(2, prompts=["a"])[1].tolist() == ["a", "a"]
    assert small.sample(prompts=("a", "b"))[1].tolist() == ["a", "b"]
    assert small.sample(2, prompts=np.array(["b", "a"]))[1].tolist() == ["b", "a"]


def test_a_column_of_labels_is_read() -> None:
    assert LinearDiffusion().fit(np.eye(3), np.array([["a"], ["b"], ["a"]])).classes_.tolist() == ["a", "b"]


# What is refused


X = np.random.default_rng(0).random((6, 4))
IMAGES = X.reshape(6, 2, 2)
WITH_NAN, WITH_INF = X.copy(), IMAGES.copy()
WITH_NAN[0, 0], WITH_INF[0, 0, 0] = np.nan, np.inf


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (WITH_NAN, None, "Input X contains NaN"),
        (WITH_INF, None, "contains infinity"),
        (X[0], None, "Expected 2D array, got 1D array"),
        (np.zeros((2, 2, 2, 2, 2)), None, r"X has 5 axes; give images \(n, h, w\)"),
        (np.zeros((3, 0, 4)), None, r"X has shape \(3, 0, 4\): there is no pixel|0 feature|minimum of 1"),
        (np.zeros((0, 4)), None, "0 sample"),
        (np.zeros((0, 4, 4)), None, "0 sample"),
        (X.astype(str).astype(object) + "x", None, "could not convert string"),
        (X, ["a"] * 5, r"y has shape \(5,\); give one prompt for each of the 6 images"),
        (X, np.full((6, 2), "a"), r"y has shape \(6, 2\)"),
        (X, "aaaaaa", r"y has shape \(\)"),
        (X, [0, 1, 0, 1, 0, np.nan], "y contains NaN or infinity"),
        (X, np.array(["a", "b", "a", "b", "a", np.nan], dtype=object), "y contains NaN"),
        (X, [0, 1, 0, 1, 0, np.inf], "y contains NaN or infinity"),
        (X, ["a", "b", "a", "b", "a", "\ud800"], r"y has the prompt '\\ud800', which is no Unicode text"),
        (X, ["a", "b", "a", "b", "a", None], "y has prompts of type NoneType; prompts are strings or numbers"),
        (X, [1j] * 6, "y has prompts of type complex"),
    ],
)
def test_images_and_prompts_that_no_model_learns_from(X: Any, y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LinearDiffusion().fit(X, y)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("latent_dim", 0),
        ("latent_dim", -3),
        ("latent_dim", 1.5),
        ("latent_dim", "144"),
        ("standardize", "yes"),
        ("styles", 0),
        ("styles", -1),
        ("styles", 2.0),
        ("styles", "many"),
        ("styles", None),
        ("schedule", "cosin"),
        ("training", "exakt"),
        ("n_draws", 0),
        ("ridge", -1.0),
        ("ridge", np.nan),
        ("tone", None),
        ("pixel_range", "bytes"),
        ("pixel_range", (1, 0)),
        ("pixel_range", (0, 1, 2)),
        ("pixel_range", (0, np.nan)),
        ("pixel_range", (0, "1")),
        ("pixel_range", (0.5, 0.6)),
        ("random_state", "seed"),
        ("random_state", -1),
    ],
)
def test_parameters_are_checked_at_fit_and_named(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        LinearDiffusion(**{"training": "sampled", name: value}).fit(IMAGES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_samples": 0}, r"n_samples=0 must be a whole number >= 1, or None"),
        ({"n_samples": -1}, r"n_samples=-1 must"),
        ({"n_samples": 2.0}, r"n_samples=2\.0 must"),
        ({"n_samples": True}, r"n_samples=True must"),
        ({"prompts": []}, "prompts is empty; give one prompt, one per image, or None to draw them"),
        (
            {"n_samples": 3, "prompts": ["a", "b"]},
            "2 prompts do not go with 3 images; give one prompt, or one per image",
        ),
        ({"prompts": "c"}, "unknown prompt 'c': the model knows 'a', 'b'"),
        ({"prompts": ["a", 1]}, "unknown prompt 1"),
        ({"sampler": "dddim"}, "sampler='dddim' must be one of 'exact', 'one-step', 'ddpm', 'ddim', 'euler'"),
        ({"n_steps": 10}, 'n_steps=10 means nothing to sampler="exact".* choose steps with sampler="ddim"'),
        ({"sampler": "exact", "n_steps": 1}, 'n_steps=1 means nothing to sampler="exact"'),
        ({"sampler": "one-step", "n_steps": 2}, 'n_steps=2 must be 1 for sampler="one-step"'),
        ({"sampler": "ddim", "n_steps": 0}, "n_steps=0 must be a whole number >= 1, or None"),
        ({"sampler": "ddim", "n_steps": 2.5}, r"n_steps=2\.5 must be"),
        ({"sampler": "ddim", "n_steps": True}, "n_steps=True must be"),
        ({"sampler": "ddim", "eta": -0.1}, r"eta=-0\.1 must be between 0 and 1"),
        ({"sampler": "ddim", "eta": 1.1}, r"eta=1\.1 must be between 0 and 1"),
        ({"sampler": "ddim", "eta": "much"}, "eta='much' must be between 0 and 1"),
        ({"sampler": "ddim", "eta": np.nan}, "eta=nan must be between 0 and 1"),
        ({"sampler": "ddpm", "eta": 0.5}, """eta=0.5 .*goes with sampler="ddim" only, not 'ddpm'"""),
        ({"random_state": "seed"}, "random_state must be None, an int >= 0"),
        ({"random_state": -1}, "random_state must be None, an int >= 0"),
    ],
)
def test_arguments_of_sample_are_checked_and_named(small: LinearDiffusion, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small.sample(**arguments)


def test_unknown_prompt_has_a_class_of_its_own(small: LinearDiffusion) -> None:
    for ask in (
        lambda: small.sample(prompts="c"),
        lambda: small.denoiser("c"),
        lambda: small.score_samples(np.zeros((1, 3)), ["c"]),
        lambda: small.denoise(np.zeros((1, 3)), 0.1, "c"),
    ):
        with pytest.raises(UnknownPromptError, match="unknown prompt 'c'"):
            ask()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.transform(np.zeros((2, 4))), "4 features, but LinearDiffusion is expecting 3"),
        (lambda m: m.transform(np.zeros((2, 3, 1))), r"images of shape \(3, 1\); the model was fitted on \(3,\)"),
        (lambda m: m.transform(np.full((2, 3), np.nan)), "contains NaN"),
        (lambda m: m.inverse_transform(np.zeros((2, 3))), r"Z has 3 columns; latents have 2 \(latent_dim_\)"),
        (lambda m: m.inverse_transform(np.full((2, 2), np.nan)), "NaN"),
        (
            lambda m: m.denoise(np.zeros((2, 3)), -1.0),
            r"noise_std=-1\.0 must be a number from 0 to .*, in the units of the images",
        ),
        (lambda m: m.denoise(np.zeros((2, 3)), np.inf), "noise_std=inf must be"),
        (lambda m: m.denoise(np.zeros((2, 3)), np.nan), "noise_std=nan must be"),
        (lambda m: m.denoise(np.zeros((2, 3)), "much"), "noise_std='much' must be"),
        (lambda m: m.denoise(np.zeros((2, 3)), 1.0, ["a", "a", "b"]), "3 prompts do not go with 2 images"),
        (lambda m: m.score_samples(np.zeros((2, 3)), ["a", "a", "b"]), "3 prompts do not go with 2 images"),
    ],
)
def test_arguments_of_the_other_methods_are_checked_and_named(small: LinearDiffusion, call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(small)


def test_what_sampled_training_cannot_answer_says_so(sampled_model: LinearDiffusion, grey: Digits) -> None:
    message = 'needs training="exact"; this model'
    with pytest.raises(ValueError, match=message):
        sampled_model.sample(sampler="exact")
    # Without a density there is no such method, as in SVC(probability=False).predict_proba.
    for name in ("score_samples", "score", "denoise"):
        assert not hasattr(sampled_model, name)
        with pytest.raises(AttributeError) as error:
            getattr(sampled_model, name)
        assert message in f"{error.value} {error.value.__cause__}"


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.sample(),
        lambda m: m.transform(X),
        lambda m: m.inverse_transform(X),
        lambda m: m.denoise(X, 0.1),
        lambda m: m.score_samples(X),
        lambda m: m.score(X),
        lambda m: m.denoiser(""),
        lambda m: m.save_pretrained("folder"),
    ],
)
def test_an_unfitted_model_says_that_it_is_not_fitted(call: Any) -> None:
    with pytest.raises(NotFittedError):
        call(LinearDiffusion())
