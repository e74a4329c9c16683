"""Mixture: the posterior of images under all prompts, given what was seen of them.

    p(j | y) ~ w_j p(y | j)        E[x | y] = sum_j p(j | y) E[x | y, j]

over the components j of all prompts: their means weighed by how likely each makes what was seen, standard deviations
with what lies between the components, and draws. What one prompt's pixels are, given y and a component, is `posterior`.
For whole images with noise it is Tweedie's formula (Efron 2011, eq. 1.4), ``E[x | y] = y + noise_std^2 grad log p(y)``.
See docs/mathematics.md, "Restoration".

Real images are not drawn from the density, and hundreds of pixels make Bayes' rule surer of one component than it
should be. `Posterior.robust` makes up for it: p(y | j) to the power of a temperature below 1 (Miller and Dunson 2019),
and white noise as part of the images, which stands for what no component knows of them. Where a mask hides pixels, its
means are those of `local`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import logsumexp

from ..denoiser.moments import precision
from ..operators import Observation
from ..utils.lazy import lazy
from ..utils.streams import POSTERIOR, stream
from ..utils.threads import in_parallel
from ..utils.types import Array, Index
from .density import PromptDensity, chunks
from .local import Local
from .posterior import Conditional, View, condition

TEMPERATURE = 0.3
"""What log-densities of components are multiplied by, so that no component is trusted too much."""
UNMODELLED = 0.05
"""Variance that real images have beside the components, as a share of that of a component."""
# Both by benchmarks/results/restore-constants.md, rows TEMPERATURE and UNMODELLED.
_NEGLIGIBLE, _TEMPERED = 1e-9, 1e-5
"""Components that are less likely than this are left out, by rounding and, at temperatures below 1, for a third of the
time that standard deviations take."""


@dataclass(frozen=True)
class Posterior:
    """Posterior of images under a mixture of prompts of weights (p,), with noise in the units of what was seen.
    Log-densities are multiplied by the temperature where components are weighed; 1 is exact. White noise of variance
    ``unmodelled`` (in the units of standardised pixels) is part of the images or, ``as_noise``, of what was seen."""

    prompts: Sequence[PromptDensity]
    weights: Array
    seen: Observation
    noise_std: float
    temperature: float = 1.0
    unmodelled: float = 0.0
    as_noise: bool = False

    def robust(self) -> "Posterior":
        """The same for images that are no draws from the density; where there are no styles, the same exactly. Of whole
        images with noise, the prompts are to be widened (`restore` does)."""
        if all(len(prompt.shares) == 1 for prompt in self.prompts):
            return self
        unmodelled = 0.0
        if self.seen.matrix is not None:  # noise that is there already does as well
            encoder = self.prompts[0].encoder
            noise_variance = self.noise_std**2 / float((self._std**2).mean())
            unmodelled = max(UNMODELLED * float(encoder.variances.mean()) - noise_variance, 0.0)
        return replace(self, temperature=TEMPERATURE, unmodelled=unmodelled)

    def log_evidence(self) -> Array:
        """``log p(y)`` of each image, less a constant that only the operator decides; shape (n,)."""
        return np.concatenate([logsumexp(np.hstack(self._joint(y)[0]), axis=1) for _, y in self._parts()])

    def mean(self) -> Array:
        """Posterior means, shape (n, d)."""
        out = np.empty((len(self.seen.y), len(self._std)))
        for part, y in self._parts():
            out[part] = self._local.mean(y) if self._local else self._mixed_mean(y, *self._likely(y))
        return self._pixels(out)

    def mean_and_std(self) -> tuple[Array, Array]:
        """Posterior means and standard deviations, each of shape (n, d)."""
        means, variances = np.empty((2, len(self.seen.y), len(self._std)))
        for part, y in self._parts():
            likely, g = self._likely(y)
            means[part] = mean = self._local.mean(y) if self._local else self._mixed_mean(y, likely, g)
            variances[part] = self._variance(y, likely, g, mean)
        return self._pixels(means), np.sqrt(variances) * self._std

    def samples(self, n_samples: int, entropy: int, members: Index) -> Array:
        """Draws from the posterior, shape (n, n_samples, d); each image's depend on its number among ``members``.
        Images are drawn without what is not modelled: what was seen is noisier for them, and without noise it is put
        back."""
        if self.unmodelled and not self.as_noise:
            return replace(self, as_noise=True).samples(n_samples, entropy, members)
        out = np.empty((len(self.seen.y), n_samples, len(self._std)))
        sizes = np.cumsum([len(prompt.shares) for prompt in self.prompts])
        for part, y in self._parts():
            likely, g = self._likely(y)
            cdf = np.cumsum(np.hstack(likely), axis=1)
            for i, (image, member) in enumerate(zip(out[part], members[part], strict=True)):
                rng = stream(entropy, POSTERIOR, int(member))
                drawn = np.searchsorted(cdf[i], rng.random(n_samples) * cdf[i, -1], side="right")
                owner = np.searchsorted(sizes, drawn, side="right")
                for c in np.unique(owner):
                    here = owner == c
                    components = drawn[here] - sizes[c] + len(self.prompts[c].shares)
                    image[here] = _draw(self._conditionals[c], components, g[c][i], y[i : i + 1], rng)
                if self.as_noise and self.noise_std == 0.0:
                    image += self._view.lift(y[i] - self._view.show(image))
        return self._pixels(out)

    def _pixels(self, x: Array) -> Array:
        """Standardised images (..., d) about the mean, worked on in place, as pixels."""
        x *= self._std
        x += self.prompts[0].encoder.mean
        return x

    def _parts(self) -> Iterator[tuple[slice, Array]]:
        """Some of the images at a time, and what was seen of them, as `Conditional`s take it."""
        return ((part, self._view.take(self.seen.y[part])) for part in chunks(len(self.seen.y), len(self._std)))

    @lazy
    def _view(self) -> View:
        view = View.of(self.seen, self.prompts[0].encoder, self.noise_std)
        if not self.as_noise:
            return view
        length2 = float((view.matrix * view.matrix).sum()) / max(view.matrix.shape[0], 1)
        return replace(view, noise_std=float(np.sqrt(view.noise_std**2 + self.unmodelled * length2)))

    @lazy
    def _conditionals(self) -> list[Conditional]:
        noise_variance, bulk = 0.0 if self.as_noise else self.unmodelled, precision(self.seen.y).type
        return [condition(prompt.with_noise(noise_variance), self._view, bulk) for prompt in self.prompts]

    @lazy
    def _local(self) -> Local | None:
        """What gives robust means where a mask hides pixels; blurred or noisy ones do as well without."""
        if self.temperature == 1.0 or self.noise_std or self.seen.kept is None:
            return None
        local = Local(self.prompts, self.weights, self._view, self.unmodelled, precision(self.seen.y).type)
        return local if local.temperature < 1 else None

    @property
    def _std(self) -> Array:
        return self.prompts[0].encoder.std

    def _joint(self, y: Array) -> tuple[list[Array], list[Array]]:
        """Log-density (n, s) of images and components together, for each prompt, and g (n, s, r)."""
        found = in_parallel(lambda conditional: conditional.evidence(y), self._conditionals)
        weights = np.log(self.weights)
        return [log_density + w for (log_density, _), w in zip(found, weights, strict=True)], [g for _, g in found]

    def _likely(self, y: Array) -> tuple[list[Array], list[Array]]:
        """How likely each component (n, s) of each prompt is, and g (n, s, r)."""
        joint, gs = self._joint(y)
        if self.temperature != 1.0:
            priors = [np.log(weight * prompt.shares) for prompt, weight in zip(self.prompts, self.weights, strict=True)]
            joint = [self.temperature * (j - prior) + prior for j, prior in zip(joint, priors, strict=True)]
        total = logsumexp(np.hstack(joint), axis=1)[:, None]
        likely = [np.exp(log_density - total) for log_density in joint]
        least = _NEGLIGIBLE if self.temperature == 1.0 else _TEMPERED
        likely = [np.where(rho > least, rho, 0.0) for rho in likely]
        total = np.sum([rho.sum(axis=1) for rho in likely], axis=0)[:, None]
        return [rho / total for rho in likely], gs

    def _mixed_mean(self, y: Array, likely: list[Array], gs: list[Array]) -> Array:
        """Standardised means (n, d): those of all components, as likely as they are."""

        def of_prompt(own: tuple[Conditional, Array, Array]) -> tuple[Index, Array]:
            """The images that a prompt is likely for, and what it adds to their means."""
            conditional, rho, g = own
            rows = np.flatnonzero(rho.any(axis=1))
            w = np.zeros((len(rows), conditional.prompt.means.shape[1]))
            for j, members, found in _components(conditional, rho[rows], g[rows]):
                w[members] += rho[rows[members], j, None] * found
            return rows, conditional.complete(w, rho[rows].sum(axis=1)[:, None] * y[rows])

        mean = np.zeros((len(y), len(self._std)))
        for rows, added in in_parallel(of_prompt, zip(self._conditionals, likely, gs, strict=True)):
            mean[rows] += added
        return mean

    def _variance(self, y: Array, likely: list[Array], gs: list[Array], mean: Array) -> Array:
        """Within components, and between them, shape (n, d); none where pixels were seen as they are."""
        known: Any = self.seen.kept if self.seen.kept is not None and not self.noise_std else []
        free = np.delete(np.arange(mean.shape[1]), known)

        def of_prompt(own: tuple[Conditional, Array, Array]) -> tuple[Index, Array]:
            conditional, rho, g = own
            rows = np.flatnonzero(rho.any(axis=1))
            variance = np.zeros((len(rows), len(free)))
            if len(rows):
                center = conditional.complete(np.zeros((1, len(conditional.prompt.variances))), y[rows]) - mean[rows]
                moves, within, center = conditional.moves[:, free], conditional.variance[free], center[:, free]
                for j, members, w in _components(conditional, rho[rows], g[rows]):
                    spread = (conditional.prompt.factors[j] @ conditional.components.root[j]).T @ moves  # (r, free)
                    between = (w @ moves + center[members]) ** 2
                    variance[members] += rho[rows[members], j, None] * (within + (spread**2).sum(axis=0) + between)
            return rows, variance

        variance = np.zeros_like(mean)
        for rows, added in in_parallel(of_prompt, zip(self._conditionals, likely, gs, strict=True)):
            variance[np.ix_(rows, free)] += added
        return variance


def _draw(conditional: Conditional, components: Index, g: Array, y: Array, rng: np.random.Generator) -> Array:
    """Draws of one image from given components of a prompt, standardised: first w, then what is free given w."""
    prompt, eps = conditional.prompt, rng.standard_normal((len(components), g.shape[1]))
    w = [
        prompt.means[j] + prompt.factors[j] @ (conditional.components.root[j] @ (g[j] + e))
        for j, e in zip(components, eps, strict=True)
    ]
    return conditional.complete(np.stack(w), y) + conditional.draw(rng, len(components))


def _components(conditional: Conditional, rho: Array, g: Array) -> Iterator[tuple[int, Index, Array]]:
    """The components that are likely for some images: (component, images, mean of w (n, k) given the component)."""
    for j in np.flatnonzero(rho.any(axis=0)):
        members = np.flatnonzero(rho[:, j])
        move = conditional.prompt.factors[j] @ conditional.components.root[j]  # (k, r)
        yield int(j), members, conditional.prompt.means[j] + g[members, j] @ move.T
