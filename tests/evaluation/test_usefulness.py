"""What classifiers learn from samples, and that a small set stays small."""

import numpy as np
import pytest

from linear_diffusion import LinearDiffusion
from linear_diffusion.evaluation.usefulness import classifier_accuracy, small_set, take_each


class Repeats:
    """Samples are the images that it was fitted on."""

    def __init__(self, images, prompts):
        self.images, self.prompts = images, prompts

    def sample(self, n_samples=None, prompts=None, *, random_state=None):
        at = [np.flatnonzero(self.prompts == p)[i % np.sum(self.prompts == p)] for i, p in enumerate(prompts)]
        return self.images[at], np.asarray(prompts)


@pytest.fixture(scope="module")
def pairs(grey):
    images, prompts = grey[0], grey[1].astype(str)
    return (images[:1200], prompts[:1200]), (images[1200:], prompts[1200:])


def test_a_generator_is_fitted_on_the_small_set_alone(pairs):
    seen = []

    def fit(images, prompts):
        seen.append((images, prompts))
        return Repeats(images, prompts)

    found = small_set(fit, *pairs, 5, n_samples=5)
    ((images, prompts),) = seen
    assert np.unique(prompts, return_counts=True)[1].tolist() == [5] * 10
    train = {image.tobytes() for image in pairs[0][0]}
    assert all(image.tobytes() in train for image in images)
    # Samples that are the images themselves teach what the images teach.
    assert found.real == pytest.approx(found.samples, abs=0.06)
    assert found.real == pytest.approx(found.both, abs=0.06)
    assert 0.6 < found.real < 0.95


def test_noise_teaches_nothing_and_a_model_something(pairs):
    class Noise(Repeats):
        def sample(self, n_samples=None, prompts=None, *, random_state=None):
            shape = (len(prompts), 8, 8)
            return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8), np.asarray(prompts)

    assert small_set(Noise, *pairs, 5, n_samples=10).samples < 0.3
    found = small_set(lambda *small: LinearDiffusion(styles=1, latent_dim=10).fit(*small), *pairs, 10, n_samples=50)
    assert found.samples > 0.75
    assert found.n_each == 10


def test_real_images_teach_real_images(pairs):
    assert classifier_accuracy(*pairs[0], *pairs[1]) > 0.9
    zeros = pairs[0][1] == "0"
    share = np.mean(pairs[1][1] == "0")
    assert classifier_accuracy(pairs[0][0][zeros], pairs[0][1][zeros], *pairs[1]) == share


def test_take_each():
    prompts = np.array(["a", "b"] * 50)
    one, two = take_each(prompts, 7, 0), take_each(prompts, 7, 1)
    assert sorted(prompts[one]) == ["a"] * 7 + ["b"] * 7
    assert len(set(one)) == 14
    assert set(one) != set(two)
    few = np.array(["a", "b", "b", "a", "rare", "a"])
    assert sorted(few[take_each(few, 2, 0)]) == ["a", "a", "b", "b", "rare"]  # one prompt's lack is not the others'
