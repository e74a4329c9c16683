"""Clusters: how a prompt's styles are found."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linear_diffusion.fit import clusters
from linear_diffusion.fit.clusters import find_centres


def test_each_prompt_has_styles_of_its_own_which_are_grouped_by_neighbours(styles_of: Callable) -> None:
    rng = np.random.default_rng(10)
    z, index = rng.standard_normal((1500, 4)) * 3, rng.permutation(np.repeat([0, 1, 2], [900, 590, 10]))
    found, labels = styles_of(z, 12, index)
    assert_array_equal(found.owner, np.repeat([0, 1, 2], [12, 12, 1]))
    assert_array_equal(index, found.owner[labels])
    assert_array_equal(found.counts, np.bincount(labels))
    assert_array_equal(np.unique(found.curves), np.arange(4 + 3 + 1))  # at most one for 3 styles, and for 150 images
    assert (np.diff(found.curves) >= 0).all()
    assert_array_equal(found.owner[np.unique(found.curves, return_index=True)[1]], np.repeat([0, 1, 2], [4, 3, 1]))
    for j, law in enumerate(found.laws):
        counts = found.counts[found.owner == j]
        assert_allclose(law.shares, counts / (index == j).sum())
        for style, mean in zip(np.flatnonzero(found.owner == j), law.means, strict=True):
            assert_allclose(mean, z[labels == style].mean(axis=0), atol=1e-12)


def test_styles_of_a_group_look_alike(styles_of: Callable) -> None:
    rng = np.random.default_rng(19)
    corner = rng.permutation(np.repeat(np.arange(4), 225))
    z = 50 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])[corner] + rng.standard_normal((900, 3))
    found, labels = styles_of(z, 12)
    pairs = np.unique(np.stack([corner, found.curves[labels]]), axis=1)
    assert_array_equal(np.sort(pairs), np.sort(np.stack([np.arange(4), pairs[1]])))
    assert len(pairs[0]) == len(np.unique(found.curves)) == 4  # each corner is a group


def test_clusters_that_turn_out_empty_are_dropped(styles_of: Callable) -> None:
    z = np.repeat(np.random.default_rng(11).standard_normal((2, 3)), 30, axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, labels = styles_of(z, 5, floor=1e-6)
    assert_array_equal(found.laws[0].shares, [0.5, 0.5])
    assert_array_equal(np.bincount(labels), [30, 30])
    assert_array_equal(found.curves, [0, 0])


def test_a_prompt_has_at_most_one_style_for_ten_images(styles_of: Callable) -> None:
    z = np.random.default_rng(13).standard_normal((100, 3))
    for n, expected in [(1, 1), (3, 1), (19, 1), (20, 2), (100, 10)]:
        assert len(styles_of(z[:n], 100)[0].owner) == expected
    assert len(styles_of(z, 4)[0].owner) == 4


def test_prompts_of_a_family_have_styles_of_their_own_and_share_curves(styles_of: Callable) -> None:
    rng = np.random.default_rng(20)
    z, index = rng.standard_normal((990, 3)) * 5, np.repeat([0, 1, 2, 3], [300, 300, 300, 90])
    family = np.array([0, 1, 0, 0])
    found, labels = styles_of(z, 9, index, family=family)
    assert_array_equal(found.owner, np.repeat([0, 1, 2, 3], 9))
    assert_array_equal(found.owner[labels], index)
    # Of 27 styles and 690 images, and of 9 and 300; a family's curves follow each other.
    assert_array_equal(np.unique(found.curves[family[found.owner] == 0]), np.arange(4))
    assert_array_equal(np.unique(found.curves[family[found.owner] == 1]), np.arange(4, 6))
    assert len(np.unique(found.owner[found.curves == 0])) > 1
    for j in range(4):
        assert (np.diff(found.curves[found.owner == j]) >= 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_centres_of_a_sample_are_those_of_its_images_in_any_order(
    source_of: Callable, dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(26)
    z, index = rng.standard_normal((900, 4)).astype(dtype), rng.integers(0, 3, 900)
    z[:, 0] += 9 * index
    for most in (900, 400):
        monkeypatch.setattr(clusters, "MOST_SEEN", most)
        found = []
        for order in (np.arange(900), rng.permutation(900)):
            source, latents = source_of(z[order], index[order])
            labels, curves = find_centres(source, latents, np.arange(3), 5, 0)
            own = np.empty(900, np.intp)
            own[order] = labels(z[order], index[order])
            found.append((labels.centres, labels.owner, curves, own))
        for one, other in zip(*found, strict=True):
            assert_array_equal(one, other)
        labels, owner = found[0][3], found[0][1]
        assert_array_equal(owner[labels], index)
        for image, style in zip(z[:50], labels[:50], strict=True):
            centres = np.flatnonzero(owner == owner[style])
            seen = np.r_[image, 0.0]  # there is no detail
            assert style == centres[np.linalg.norm(found[0][0][centres] - seen, axis=1).argmin()]


def test_a_prompt_of_which_the_sample_has_no_image_has_one_style(
    source_of: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    z, index = np.random.default_rng(27).standard_normal((500, 3)), np.repeat([0, 1], [480, 20])
    monkeypatch.setattr(clusters, "MOST_SEEN", 10)
    source, latents = source_of(z, index)
    labels, curves = find_centres(source, latents, np.arange(2), 5, 0)
    assert_array_equal(labels.owner, [0, 1])
    assert_array_equal(labels(z, index), index)
    assert_array_equal(curves, [0, 1])
