"""The blocks are open: a schedule or a sampler of one's own goes wherever a name does."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linear_diffusion import LinearDiffusion
from linear_diffusion.noise import Level, Schedule
from linear_diffusion.research import gaussian, noise_levels, sampler_law
from linear_diffusion.sampler import Sampler, Step

STRAIGHT = Schedule("straight", lambda t: (1 - t, t))


def step(t: Level, s: Level, u: Level | None, eta: float) -> Step:
    """Euler's step between two levels, written out: keep the predicted noise."""
    keep = s.sigma / t.sigma
    return Step(z=keep, z0=s.alpha - t.alpha * keep)


OWN = Sampler("own", step, n_steps=7)


@pytest.mark.parametrize("styles", [1, 20])
def test_a_schedule_and_a_sampler_of_ones_own_draw_as_those_of_the_same_formula(grey: tuple, styles: int) -> None:
    model = LinearDiffusion(styles=styles, latent_dim=10, schedule="flow", random_state=3).fit(*grey)
    images, _ = model.sample(20, sampler="ddim", n_steps=7)
    model.set_params(schedule=STRAIGHT)
    for sampler in ("ddim", OWN):
        assert_array_equal(model.sample(20, sampler=sampler, n_steps=7)[0], images)
    assert_array_equal(model.sample(20, sampler=OWN)[0], images)  # its own number of steps
    assert_allclose(model.sample(20, sampler=OWN, return_trajectory=True)[2][-1], images, atol=2 / 255)


def test_they_serve_research() -> None:
    prior, levels = gaussian([1.0], [[4.0]]), noise_levels(STRAIGHT, 7)
    assert levels == noise_levels("flow", 7)
    for one, other in zip(sampler_law(prior, OWN, levels), sampler_law(prior, "ddim", levels), strict=True):
        assert_allclose(one, other, rtol=1e-12)


def test_what_they_are_not_is_said(grey: tuple, tmp_path: object) -> None:
    model = LinearDiffusion(styles=1, latent_dim=5, schedule=STRAIGHT).fit(*grey)
    with pytest.raises(ValueError, match=r"sampler='dimm' must be one of 'exact', .*, or a Sampler"):
        model.sample(1, sampler="dimm")
    with pytest.raises(ValueError, match=r"schedule=.* is code of your own, which is not saved"):
        model.save_pretrained(tmp_path / "model")  # type: ignore[operator]
    assert not list(tmp_path.iterdir())  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="'schedule' parameter"):
        LinearDiffusion(schedule=lambda t: t).fit(*grey)
    assert np.isfinite(model.sample(3)[0]).all()
