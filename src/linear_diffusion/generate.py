"""Noise -> images, for whatever a prompt is: one Gaussian, many styles, or a regression on drawn noise.

    prompt (and style), noise --sampler--> z_0 --decoder--> image

It picks the route: compiled where a run is one affine map, looped where its way is wanted, or where the denoiser is the
mixture of all styles, which is not linear.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from ._types import AnyArray, Array, Index
from .affine import AffineMap
from .denoiser import GaussianDenoiser, LinearDenoiser, RegressionDenoiser
from .noise import Level
from .render import Decoder, Noise, Walk, render, render_path, render_styles
from .sampler import SAMPLERS, bridge, compile_law, exact_law, exact_trajectory, style_deviation, trajectory
from .styles import MixtureDenoiser, Styles


@dataclass(frozen=True)
class Run:
    """How a sampler runs.

    Parameters
    ----------
    sampler : str
        One of `SAMPLERS`, or "exact".
    levels : list of Level
        From high noise to low.
    eta : float
        DDIM's.
    entropy : int
        Of all random streams.
    """

    sampler: str
    levels: list[Level]
    eta: float
    entropy: int

    @property
    def noisy(self) -> bool:
        """Whether steps add noise."""
        return self.sampler == "ddpm" or self.eta > 0


@dataclass(frozen=True)
class Generator:
    """What was learned, as far as sampling reads it.

    Parameters
    ----------
    prior : GaussianDenoiser
        One Gaussian per prompt.
    regression : RegressionDenoiser or None
        What sampled training found in its place.
    styles : Styles or None
        The sharpened styles of the prompts.
    decoder : Decoder
    """

    prior: GaussianDenoiser
    regression: RegressionDenoiser | None
    styles: Styles | None
    decoder: Decoder

    def only(self, prompt: int) -> "Generator":
        """What draws one prompt, as the only one, through its tone curves; details are left out."""
        styles, curves = self.styles and self.styles.only(prompt), self.decoder.curves
        group = np.array([prompt]) if self.styles is None else np.unique(self.styles.group[self.styles.of(prompt)])
        decoder = replace(self.decoder, curves=curves and curves[group], details=None)
        return replace(self, prior=self.prior[[prompt]], styles=styles, decoder=decoder)

    def images(self, run: Run, index: Index) -> AnyArray:
        """Images of given prompts, or of given styles where there are any; shape (n, ...)."""
        if self.styles is None:
            return render(self._laws(run), index, self.decoder, run.entropy)
        deviation = style_deviation(self.styles, SAMPLERS.get(run.sampler), run.levels, run.eta)
        return render_styles(self.styles, deviation, index, self.decoder, run.entropy)

    def paths(self, run: Run, index: Index, *, mixture: bool = False) -> AnyArray:
        """All that the loops of images pass through, shape (n_steps + 1, n, ...).

        With ``mixture`` the index is of prompts, and the denoiser is that of all the prompt's styles together.
        """
        if self.styles is None:
            return self._render(run, index, self._plain_walk(run), lambda z, j: np.full(len(z), j))
        if mixture:
            denoisers = [MixtureDenoiser(self.styles, j) for j in range(len(self.prior.means))]

            def walk(prompt: int, eps: Array, noise: Noise) -> Iterator[Array]:
                return trajectory(SAMPLERS[run.sampler], run.levels, denoisers[prompt], eps, noise(), run.eta)

            return self._render(run, index, walk, lambda z, j: denoisers[j].group(z))
        group = self.styles.group
        return self._render(run, index, self._style_walk(run, self.styles), lambda z, j: np.full(len(z), group[j]))

    def pixel_mixtures(self) -> Iterator[tuple[Array, Array, Array]]:
        """Means (m, d), variances (m, d) and weights (m,) of decoded pixels, for each tone curve."""
        encoder = self.decoder.encoder
        if self.styles is None:
            law = exact_law(self.prior)
            for root, shift in zip(law.matrix, law.shift, strict=True):
                yield encoder.decode(shift)[None], ((root.T @ encoder.to_pixels) ** 2).sum(axis=0)[None], np.ones(1)
            return
        for j in range(len(self.prior.means)):
            own = self.styles.of(j)
            means, variances = self.styles.pixel_moments(j, encoder.to_pixels)
            for g in np.unique(self.styles.group[own]):
                here = self.styles.group[own] == g
                yield means[here] + encoder.mean, variances[here], self.styles.shares[own][here]

    def _render(self, run: Run, index: Index, walk: Walk, curve: Callable[[Array, int], Index]) -> AnyArray:
        return render_path(walk, len(run.levels), index, self.decoder, curve, run.entropy)

    def _laws(self, run: Run) -> Callable[[Index], AffineMap]:
        """The law of z_0 of some prompts."""
        if run.sampler == "exact":
            return lambda used: exact_law(self.prior[used])
        denoiser = self.regression or self.prior
        return lambda used: compile_law(SAMPLERS[run.sampler], run.levels, denoiser[used], run.eta)

    def _plain_walk(self, run: Run) -> Walk:
        if run.sampler == "exact":
            return lambda j, eps, noise: exact_trajectory(run.levels, self.prior[j], eps)
        denoiser = self.regression or self.prior
        return lambda j, eps, noise: _loop(run, denoiser[j], eps, noise)

    def _style_walk(self, run: Run, styles: Styles) -> Walk:
        def walk(style: int, eps: Array, noise: Noise) -> Iterator[Array]:
            prior = styles.gaussian(style)
            eps = styles.start(style, eps, prior)
            if run.sampler == "exact":
                return exact_trajectory(run.levels, prior, eps)
            return _loop(run, prior, eps, noise)

        return walk


def _loop(run: Run, denoiser: LinearDenoiser, eps: Array, noise: Noise) -> Iterator[Array]:
    """The loop of one prompt, which ends where the compiled run does."""
    sampler, steps = SAMPLERS[run.sampler], noise()
    if isinstance(denoiser, GaussianDenoiser):
        eps, steps = bridge(sampler, run.levels, denoiser, eps, noise, run.eta)
    return trajectory(sampler, run.levels, denoiser, eps, steps, run.eta)
