"""Local: what is missing of an image by linear regression on what was seen, learned from the components near it.

    m = sum_j rho_j m_j,   C = sum_j rho_j (C_j + (m_j - m)(m_j - m)'),   E[x | y] under N(m, C)

A mixture picks components and regresses within each. That trusts each component to be a population of its own, yet
components are cut out of what varies smoothly, and how neighbours differ says as much as how the images of one do. So
the components near what was seen, weighed by tempered likelihoods rho, are merged into one Gaussian per image, with
their moments (Runnalls 2007, "Kullback-Leibler approach to Gaussian mixture reduction", eq. 2 to 4), whose conditional
mean is a locally weighted regression (Cleveland and Devlin 1988). In a hole this is 0.5 dB above the mixture's means
(the rows "without the regression" of benchmarks/results/restore.md).

Leading components alone are local: z, divided by their deviations over all images. All else follows the whole
population's variances. What was seen says of z, up to a constant, ``b' z - z' J z / 2``, where b and J come from the
posterior under the prior N(0, I).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..denoiser.components import WhiteComponents
from ..image.pca import noise_floor
from ..utils.lazy import lazy
from ..utils.threads import in_parallel
from ..utils.types import Array, Index
from .density import PromptDensity, population
from .posterior import Conditional, View, condition, solve_lower

N_NEAR = 12
"""Components that are merged, at most."""
EVIDENCE = 8.0
"""Dimensions that the likelihoods of components count for at most, so that several components count."""
POPULATION = 0.03
"""Share of the variance of all images added to each image's Gaussian: its neighbours may not vary in all directions."""
# All three by their rows in benchmarks/results/restore-constants.md.
_KNOWN = 1e-9
"""Of a direction, less than this share of the most that is known, or of what is known beforehand, is rounding."""
_TOGETHER = 25
"""Images that are worked on together: their merged Gaussians take some 100 MB."""


@dataclass(frozen=True)
class Local:
    """Means of images, given what was seen of them; white noise of variance ``unmodelled`` is part of the images."""

    prompts: Sequence[PromptDensity]
    weights: Array
    view: View
    unmodelled: float
    bulk: type[np.floating]

    @lazy
    def temperature(self) -> float:
        """What log-densities are multiplied by: the more dimensions are seen, the less; 1 where few are."""
        values = self._information[1]
        return EVIDENCE / max(float((values / (1 + values)).sum()), EVIDENCE)

    def mean(self, y: Array) -> Array:
        """Standardised images (n, d), from what was seen as `View.take` leaves it."""
        lower, values, vectors = self._information
        b = self._conditional.evidence(y)[1][:, 0] @ lower.T
        z = np.zeros((len(y), len(self._scale)))
        z[:, : len(lower)] = self._near(vectors * np.sqrt(values), b @ vectors / np.sqrt(values))
        return self._conditional.complete(z * self._scale, y)

    @lazy
    def _information(self) -> tuple[Array, Array, Array]:
        """What is seen of z: the factor L of ``I + J = L L'``, eigenvalues of J, and their vectors."""
        lower = np.linalg.inv(self._conditional.components.root[0]).T
        values, vectors = np.linalg.eigh(lower @ lower.T - np.eye(len(lower)))
        known = values > _KNOWN * max(values[-1], 1.0)
        return lower, values[known], vectors[:, known]

    def _near(self, root: Array, y: Array) -> Array:
        """Means of z (n, q), from ``y = root' z + e`` with white noise e (n, p)."""
        shared = np.tensordot(self.weights, self._shared, 1)
        lower = np.linalg.cholesky(np.eye(root.shape[1]) + root.T @ shared @ root)
        white = solve_lower(lower, root.T)
        y = solve_lower(lower, y.T).T
        (s, r, q), means = self._rows.shape, self._means @ white.T
        rows = (self._rows.reshape(s * r, q) @ white.T.astype(self.bulk)).reshape(s, r, -1)

        def in_columns(dtype: type[np.floating]) -> Array:
            return np.ascontiguousarray(rows[:, :-1], dtype).transpose(2, 0, 1)

        components = WhiteComponents.of(self._shares, means, in_columns, self.bulk)
        beside = (np.eye(len(white)) + white @ (self._shared - shared) @ white.T).astype(self.bulk)

        def some(start: int) -> Array:
            part = y[start : start + _TOGETHER]
            return self._merge(rows, white, beside, part, *self._weigh(components.evidence(part)[0]))

        return np.concatenate(in_parallel(some, range(0, len(y), _TOGETHER)))

    def _weigh(self, log_density: Array) -> tuple[Index, Array]:
        """The components near each image, and their weights; both of shape (n, near)."""
        prior = np.log(self._shares)
        log_rho = self.temperature * (log_density - prior) + prior
        n_near = min(N_NEAR, log_rho.shape[1])
        near = np.argpartition(log_rho, -n_near, axis=1)[:, -n_near:]
        chosen = np.take_along_axis(log_rho, near, axis=1)
        rho = np.exp(chosen - chosen.max(axis=1, keepdims=True))
        return near, rho / rho.sum(axis=1, keepdims=True)

    def _merge(self, rows: Array, white: Array, beside: Array, y: Array, near: Index, rho: Array) -> Array:
        """Means of z (n, q), by regression on y (n, p) in the rows (s, r + 1, p) of the components near. ``C = sum_c
        rho_c B_c + a a'`` is the covariance of y, where ``beside`` has what each prompt's components share, B (c, p,
        p), and the rows of ``a'`` are factors and deviations of means."""
        seen, root = rows[near], np.sqrt(rho)
        m = (rho[:, None].astype(rows.dtype) @ seen[:, :, -1])[:, 0]  # (n, p)
        seen[:, :, -1] -= m[:, None]
        seen *= root.astype(rows.dtype)[..., None, None]
        a = seen.reshape(len(y), -1, seen.shape[3])  # (n, near (r + 1), p)
        of_prompt = np.stack([(rho * (self._owner[near] == c)).sum(axis=1) for c in range(len(beside))], axis=1)
        covariance = a.swapaxes(1, 2) @ a + np.tensordot(of_prompt.astype(beside.dtype), beside, 1)  # (n, p, p)
        solved = np.linalg.solve(covariance, (y - m).astype(a.dtype)[..., None])  # (n, p, 1)
        weights = (a @ solved).reshape(seen.shape[:3]) * root[..., None]
        weights[..., -1] += rho * (1 - weights[..., -1].sum(axis=1, keepdims=True))
        own = weights.astype(a.dtype).reshape(len(y), 1, -1) @ self._rows[near].reshape(*a.shape[:2], -1)  # (n, 1, q)
        of_all = solved[..., 0].astype(np.float64) @ white  # (n, q)
        return own[:, 0] + sum(
            share[:, None] * (of_all @ c) for share, c in zip(of_prompt.T, self._shared, strict=True)
        )

    @lazy
    def _conditional(self) -> Conditional:
        """All images as one Gaussian, whose leading components are the factor: z ~ N(0, I)."""
        everything = population(self.prompts, self.weights)
        q, floor = self._shared.shape[1], noise_floor(everything.encoder)
        factor = np.diag(self._scale)[None, :, :q]
        variances = np.where(np.arange(len(self._scale)) < q, floor, self._scale**2)
        everything = replace(everything, variances=variances, factors=factor)
        return condition(everything.with_noise(self.unmodelled), self.view, self.bulk)

    @property
    def _scale(self) -> Array:
        """Deviations of all components, shape (k,)."""
        encoder = self.prompts[0].encoder
        return np.sqrt(np.maximum(encoder.variances, noise_floor(encoder)))

    @lazy
    def _shares(self) -> Array:
        return np.concatenate([w * prompt.shares for prompt, w in zip(self.prompts, self.weights, strict=True)])

    @lazy
    def _owner(self) -> Index:
        """Prompt of each component, shape (s,)."""
        return np.repeat(np.arange(len(self.prompts)), [len(prompt.shares) for prompt in self.prompts])

    @lazy
    def _means(self) -> Array:
        """Of z under all prompts' components, shape (s, q)."""
        return np.concatenate([prompt.means @ self._turn(prompt).T for prompt in self.prompts])

    @lazy
    def _rows(self) -> Array:
        """Factors of z under all prompts' components, each with its mean as the last row, shape (s, r + 1, q)."""
        leading = np.concatenate([prompt.leading for prompt in self.prompts])  # (s, r, q)
        scaled = leading / self._scale[: leading.shape[2]]
        return np.concatenate([scaled, self._means[:, None]], axis=1, dtype=self.bulk, casting="same_kind")

    @lazy
    def _shared(self) -> Array:
        """Covariances of z that the components of each prompt have beside their own, shape (p, q, q)."""
        shared = np.stack([(self._turn(p) * p.variances) @ self._turn(p).T for p in self.prompts])
        shared[:, range(shared.shape[1]), range(shared.shape[1])] += POPULATION
        return shared

    def _turn(self, prompt: PromptDensity) -> Array:
        """From a prompt's basis to z, shape (q, k)."""
        q = prompt.leading.shape[2]
        return prompt.basis[:q] / self._scale[:q, None]
