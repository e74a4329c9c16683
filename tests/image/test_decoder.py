"""Decoders: each image through its own curve, a mix of curves, or none."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linear_diffusion import LinearDiffusion


@pytest.fixture(scope="module")
def three(rgb: np.ndarray) -> LinearDiffusion:
    return LinearDiffusion(styles=1, latent_dim=7).fit(rgb, np.arange(200) % 3)


def test_decoding_reads_each_rows_own_curve_or_none(three: LinearDiffusion, rgb: np.ndarray) -> None:
    decoder, z = three.decoder_, three.transform(rgb[:9]).astype(np.float64)
    curve = np.array([2, 0, 0, 2, 2, 0, 2, 0, 2])
    decoded = decoder.decode(z, curve)
    for j in (0, 2):
        own = curve == j
        assert_array_equal(decoded[own], decoder.decode(z[own], curve[own]))
        assert (decoded[own] != decoder.decode(z[own], np.full(own.sum(), 1))).any()
    pixels = decoder.image.cast(decoder.encoder.decode(z))
    for plain in (decoder.plain().decode(z, curve), decoder.decode(z)):
        assert_array_equal(plain, pixels)


def test_a_mix_of_curves_finishes_between_them(three: LinearDiffusion, rgb: np.ndarray) -> None:
    decoder, z = three.decoder_, three.transform(rgb[:50]).astype(np.float64)
    mixed = decoder.mixed([({0: 1.0}, 0.0), ({0: 0.25, 2: 0.75}, 0.0), ({0: 0.5}, 0.5)])
    read = [decoder.decode(z, np.full(50, j)).astype(float) for j in (0, 2)]
    alone, pair, half = (mixed.decode(z, np.full(50, j)) for j in range(3))
    assert_array_equal(alone, read[0])
    assert_allclose(pair, 0.25 * read[0] + 0.75 * read[1], atol=3.0)
    assert_allclose(half, decoder.image.cast(0.5 * read[0] + 0.5 * decoder.encoder.decode(z)), atol=3.0)


def test_mixed_tone_curves_lie_between(model: LinearDiffusion) -> None:
    curves = model.decoder_.curves
    mix = curves.mixed({0: 0.25, 5: 0.75})
    v = np.linspace(-300, 500, 64).reshape(1, -1)
    read = [c.look_up(c.position(v, j), j)[0] for c, j in ((curves, 0), (curves, 5), (mix, 0))]
    off = np.abs(read[2] - (0.25 * read[0] + 0.75 * read[1]))
    step = np.abs(np.diff(curves.table[[0, 5], 0])).max()  # a table is read at its nearest entry, a step off at most
    assert (off <= step).all()
    assert (off > 1).mean() < 0.05
    assert (np.diff(mix.table[0, 0]) >= 0).all()
    half = curves.mixed({0: 0.5}, plain=0.5)
    inside = (v[0] > half.low[0, 0]) & (v[0] < half.low[0, 0] + 4095 * half.step[0, 0])
    assert_allclose(half.look_up(half.position(v, 0), 0)[0][inside], (0.5 * read[0] + 0.5 * v[0])[inside], atol=2.0)
