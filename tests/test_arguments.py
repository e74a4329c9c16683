"""Absurd arguments: each is refused by the package's own words, which name it; none by an error from within."""

import warnings
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import linear_diffusion
from linear_diffusion import LinearDiffusion, LinearDiffusionError, research
from linear_diffusion.operators import inpaint

X = np.random.default_rng(0).random((24, 4, 4))
Y = np.repeat(["a", "b"], 12)
ABSURD: list[Any] = [
    10**400, -(10**400), 10**30, -1, -(10**30), 1e300, -1e300, float("nan"), float("inf"), -float("inf"), 1j, "x", "",
    b"x", "\ud800", [], {}, (), object(), Decimal("1e400"), np.array([]), np.array([1.5, np.nan]), np.float64("nan"),
    True, [[1, 2], [3]],
]  # fmt: skip
GAUSSIAN = research.gaussian([0.0], [[1.0]])
LEVELS = research.noise_levels("cosine", 3)


@cache
def model() -> LinearDiffusion:
    return LinearDiffusion(styles=2, latent_dim=5, random_state=0).fit(X, Y)


def fit(name: str) -> Callable[[Any], Any]:
    return lambda value: LinearDiffusion(**{"styles": 1, "latent_dim": 3, name: value}).fit(X, Y)


def sample(name: str, **others: Any) -> Callable[[Any], Any]:
    return lambda value: model().sample(**{"prompts": ["a", "b"], **others, name: value})


def task(method: str, name: str, *args: Any, **others: Any) -> Callable[[Any], Any]:
    return lambda value: getattr(model(), method)(*args, **others, **{name: value})


MASK = inpaint(np.eye(4, dtype=bool))
CALLS: dict[str, Callable[[Any], Any]] = {
    **{f"fit {name}": fit(name) for name in LinearDiffusion().get_params() if name != "verbose"},
    **{
        f"sample {name}": sample(name)
        for name in ("n_samples", "sampler", "n_steps", "eta", "guidance_scale", "styles", "random_state")
    },
    "sample n_samples of one prompt": sample("n_samples", prompts="a"),
    "sample n_samples of any prompt": sample("n_samples", prompts=None),
    "sample n_steps of ddim": sample("n_steps", sampler="ddim"),
    "sample eta of ddim": sample("eta", sampler="ddim", n_steps=2),
    "sample prompts": sample("prompts"),
    "sample negative_prompts": sample("negative_prompts", guidance_scale=1.1, n_steps=2),
    "edit strength": task("edit", "strength", X, "a"),
    "edit guidance_scale": task("edit", "guidance_scale", X, "a", n_steps=4),
    "edit random_state": task("edit", "random_state", X, "a"),
    "edit prompts": task("edit", "prompts", X),
    "interpolate n_images": task("interpolate", "n_images", X[0], X[1], prompts="a"),
    "interpolate prompts": task("interpolate", "prompts", X[0], X[1]),
    "denoise noise_std": task("denoise", "noise_std", X),
    "denoise prompts": task("denoise", "prompts", X, 0.1),
    "restore noise_std": task("restore", "noise_std", X, MASK),
    "restore n_samples": task("restore", "n_samples", X[:2], MASK),
    "restore random_state": task("restore", "random_state", X, MASK, n_samples=1),
    "bits_per_dim random_state": task("bits_per_dim", "random_state", X),
    "score_samples y": task("score_samples", "y", X),
    "denoiser prompt": task("denoiser", "prompt"),
    "noise_levels schedule": lambda value: research.noise_levels(value, 2),
    "noise_levels n_steps": lambda value: research.noise_levels("flow", value),
    "guided guidance_scale": lambda value: research.guided(GAUSSIAN, GAUSSIAN, value),
    "denoiser_map level": lambda value: research.denoiser_map(GAUSSIAN, value),
    "denoiser_spectrum level": lambda value: research.denoiser_spectrum(GAUSSIAN, value),
    "denoiser_r2 levels": lambda value: research.denoiser_r2(GAUSSIAN, [value]),
    "denoiser_r2 latents": lambda value: research.denoiser_r2(GAUSSIAN, LEVELS, [[value]]),
    "flow_map level": lambda value: research.flow_map(GAUSSIAN, value, LEVELS[0]),
    "sampler_law sampler": lambda value: research.sampler_law(GAUSSIAN, value, LEVELS),
    "sampler_law levels": lambda value: research.sampler_law(GAUSSIAN, "ddim", value),
    "sampler_law eta": lambda value: research.sampler_law(GAUSSIAN, "ddim", LEVELS, value),
    "sampler_bias levels": lambda value: research.sampler_bias(GAUSSIAN, "ddim", value),
    "gaussian mean": lambda value: research.gaussian(value, [[1.0]]),
    "gaussian covariance": lambda value: research.gaussian([0.0], value),
}


@pytest.mark.parametrize("call", CALLS)
def test_absurd_arguments_are_refused_by_name(call: str) -> None:
    """Or they mean something, and what comes back is finite."""
    name = call.split()[1]
    for value in ABSURD:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("error", RuntimeWarning)
            try:
                CALLS[call](value)
            except (TypeError, ValueError, LinearDiffusionError) as error:
                assert not isinstance(error, UnicodeError), (value, error)
                about = "prompt" if name in ("prompts", "negative_prompts", "y", "n_samples") else name.rstrip("s")
                assert name in str(error) or about in str(error), f"{value!r}: {type(error).__name__}: {error}"


def test_one_image_is_told_from_several(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    images, y = digits
    fitted = LinearDiffusion(styles=1, latent_dim=4).fit(images[:300], y[:300])
    with pytest.raises(ValueError, match=r"X is one image, of shape \(8, 8\); give several, or one as images\[\[0\]\]"):
        fitted.predict(images[0])
    assert fitted.predict(images[[0]]).shape == (1,)


def test_latents_have_names_in_pipelines_and_frames() -> None:
    pandas = pytest.importorskip("pandas")
    rows = X.reshape(24, 16)
    piped = make_pipeline(StandardScaler(), LinearDiffusion(styles=1, latent_dim=3)).set_output(transform="pandas")
    frame = piped.fit(rows, Y).transform(rows)
    assert isinstance(frame, pandas.DataFrame)
    assert frame.columns.tolist() == piped.get_feature_names_out().tolist() == [f"lineardiffusion{i}" for i in range(3)]
    assert_array_equal(frame.to_numpy(), piped.set_output(transform="default").transform(rows))


def test_python_names_the_public_method_that_takes_no_such_argument() -> None:
    with pytest.raises(TypeError, match=r"^LinearDiffusion\.partial_fit\(\) got an unexpected keyword .*'classes'"):
        LinearDiffusion(styles=1).partial_fit(X, Y, classes=["a", "b"])


def test_levels_may_be_plain_pairs_from_noise_to_clean() -> None:
    plain = [tuple(level) for level in LEVELS]
    prior = research.gaussian([1.0], [[4.0]])
    for ask in (research.sampler_law, research.sampler_bias):
        same = [ask(prior, "ddim", levels) for levels in (LEVELS, plain, np.array(plain))]
        assert_array_equal([vars(s)["steps"] if hasattr(s, "steps") else s[1] for s in same[1:]],
                           [vars(s)["steps"] if hasattr(s, "steps") else s[1] for s in same[:1]] * 2)  # fmt: skip
        for wrong in (LEVELS[::-1], [LEVELS[0], LEVELS[0]], [LEVELS[0], LEVELS[2], LEVELS[1]]):
            with pytest.raises(ValueError, match="each must have less noise than the one before"):
                ask(prior, "ddim", wrong)
    assert_array_equal(research.denoiser_spectrum(prior, (1.0, 1.0))[0], [0.8])


def test_the_warning_of_guidance_can_be_caught_by_its_public_name() -> None:
    rng = np.random.default_rng(0)  # a tight prompt far from a wide one
    x = np.concatenate([rng.standard_normal((50, 2)) * s + [m, 0] for s, m in ((0.02, 9), ([3, 0.1], -9))])
    tight = LinearDiffusion(styles=1, latent_dim=2, random_state=0, tone=False).fit(x, np.repeat(["a", "b"], 50))
    with pytest.warns(linear_diffusion.GuidanceWarning):
        tight.sample(8, "a", sampler="ddim", guidance_scale=10.0, negative_prompts="b", n_steps=20)
