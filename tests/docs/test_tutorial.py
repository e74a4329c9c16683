"""The tutorial's model in 40 lines is `LinearDiffusion.one_shot()`: the very lines of its last page are run."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linear_diffusion import LinearDiffusion, research
from linear_diffusion.fit.encoder import training_noise
from linear_diffusion.utils.streams import start_noise

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "plot_9_beyond.py"
K, SEED = 12, 5


def lines() -> str:
    """The block that defines the model."""
    (block,) = [block for block in PAGE.read_text(encoding="utf-8").split("# %%\n") if "class OneShot" in block]
    return "\n".join(line for line in block.splitlines() if not line.startswith("#")).strip()


def noise(values: np.ndarray) -> Any:
    """A source of noise that was drawn already."""
    return SimpleNamespace(standard_normal=lambda shape: values.reshape(shape))


@pytest.fixture
def page() -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(lines(), str(PAGE), "exec"), names)
    return names


def test_forty_lines_of_scikit_learn_are_the_articles_model(page: dict[str, Any], digits: Any) -> None:
    rows, y = digits[0].reshape(-1, 64), digits[1].astype(str)
    ours = LinearDiffusion.one_shot(latent_dim=K, random_state=SEED).fit(rows, y)
    theirs = page["OneShot"](latent_dim=K)
    theirs.text_encoder.fit(y[:, None])
    pca = theirs.image_encoder.fit(rows)[-1]
    signs = np.sign((pca.components_ * ours.components_).sum(axis=1))  # PCA leaves them open

    z = ours.transform(rows)
    eps = training_noise(SEED, 0, 0, z)
    theirs.fit(rows, y, noise(eps * signs))
    z_noisy = z + eps
    guess = theirs.denoiser.predict(theirs.features(z_noisy * signs, y)) * signs
    for prompt in np.unique(y):
        own = y == prompt
        denoiser = research.denoiser_map(ours.denoiser(prompt), research.Level(1.0, 1.0))
        assert_allclose(z_noisy[own] - denoiser(z_noisy[own]), guess[own], atol=1e-8)

    asked = np.arange(10).astype(str)
    drawn = theirs.sample(asked, noise(start_noise(9, 0, 10, K) * signs))
    assert_allclose(ours.sample(prompts=asked, random_state=9)[0], drawn, atol=1e-5)


def test_the_model_takes_forty_lines_and_no_more() -> None:
    assert len([line for line in lines().splitlines() if line.strip()]) <= 40
