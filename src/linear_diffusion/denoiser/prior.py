"""Prior: what is learned of the latents of all prompts, asked for one prompt at a time.

    prior.law(j) -> z | c_j        prior.component(parts) -> denoiser of a mix       prior.pooled() -> of all images

Prompts of their own (`ClassPrior`), prompts of words (`denoiser.words`) and sampled training (`denoiser.regression`)
differ here, and nowhere else: who comes after asks a prior, and not what kind of prompts it has.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np

from ..text.mixes import Mix
from ..text.prompts import OneHotEncoder
from ..utils.arrays import Kept, kept, not_negative, orthonormal, positive, share, sums_to_one
from ..utils.lazy import lazy
from ..utils.threads import one_thread
from ..utils.types import Array, Index
from .gaussian import GaussianDenoiser, LinearDenoiser, mixed
from .law import WIDEST, Law, Mixture

LEAST = float(np.finfo(np.float32).tiny)
"""Least number that factors are divided by, where all images are one."""


_SIDE_BY_SIDE = 256
"""Prompts whose laws are worked out at once."""


class Part(NamedTuple):
    """A share of what an image is drawn from: a component of a prompt."""

    prompt: int
    component: int
    weight: float


class Prior(ABC):
    """What all stages after the prior ask of it; here for p prompts that have a law, whatever gives it. Each is drawn
    with a weight, and ``residual`` (p,) is the mean squared length of what the image encoder discards of its images."""

    text: OneHotEncoder
    weights: Array
    residual: Array
    has_density = True
    """Whether it knows laws, and so the exact sampler, likelihood and posteriors."""

    @abstractmethod
    def law(self, prompt: int) -> Law:
        """The learned law of a prompt."""

    @abstractmethod
    def reach(self, deviations: float) -> float:
        """How large a latent may be that lies so many standard deviations from its mean."""

    def prepare(self, prompts: Iterable[int]) -> None:  # noqa: B027 (most have nothing to prepare)
        """Work out what samples of prompts are drawn from, where that is faster than one by one."""

    def asked(self, prompts: Any, negative_prompts: Any = None) -> Self:
        """The prior that knows given prompts; None is those of training. Most know these alone."""
        return self

    @property
    def size(self) -> tuple[int, int]:
        """Directions that a component has, and components; of all prompts, at most."""
        return self.means.shape[1], len(self.weights)

    @property
    def means(self) -> Array:
        """Mean latent of each prompt, shape (p, k)."""
        return np.stack([self.law(j).mean for j in range(len(self.weights))])

    @property
    def covariances(self) -> Array:
        """Covariance of each prompt's latents, shape (p, k, k)."""
        return np.stack([self.law(j).gaussian.covariance for j in range(len(self.weights))])

    def variance_of(self, prompt: int) -> float:
        """Total variance of a prompt's latents."""
        return float(self.law(prompt).gaussian.variances.sum())

    def shares_of(self, prompt: int) -> Array:
        """Frequencies of a prompt's components, shape (s,)."""
        return np.ones(1)

    @property
    def pooled_shares(self) -> Array:
        """Share of its family's law in each prompt's covariance, shape (p,)."""
        return np.zeros(len(self.weights))

    @property
    def n_curves(self) -> int:
        """Tone curves of all prompts."""
        return len(self.weights)

    def curves_of(self, prompt: int) -> Index:
        """Their tone curves, shape (s,)."""
        return np.array([prompt])

    def style_means_of(self, prompt: int) -> Array:
        """Their means in training, shape (s, k)."""
        return self.law(prompt).means

    def components(self, prompt: int) -> Mixture:
        """What samples of a prompt are drawn from."""
        return self.law(prompt).mixture

    def component(self, parts: Sequence[Part]) -> LinearDenoiser:
        """The denoiser of a weighted mix of components."""
        each = [self.law(part.prompt).mixture.component(part.component) for part in parts]
        return mixed(each, np.array([part.weight for part in parts]))

    def gaussian(self, mix: Mix) -> Any:
        """The denoiser of a weighted mix of prompts, each as one Gaussian (after sampled training, one regression)."""
        return mixed([self.law(prompt).gaussian for prompt, _ in mix], np.array([weight for _, weight in mix]))

    def pooled(self) -> LinearDenoiser:
        """The denoiser of all training images as one Gaussian: the variance between prompts is added to that within."""
        return self._pooled

    @lazy
    def _pooled(self) -> GaussianDenoiser:
        means = self.means
        mean = self.weights @ means
        covariance = ((means - mean) * self.weights[:, None]).T @ (means - mean)
        for j, weight in enumerate(self.weights):
            covariance += weight * self.law(j).gaussian.covariance
        return GaussianDenoiser.from_covariance(mean, covariance)


@dataclass(frozen=True)
class ClassPrior(Kept, Prior):
    """The laws of p prompts, of m components in all, whose owners increase; components that look most alike share a
    tone curve. Shares are within a prompt. Prompts of one of g families share basis, variances, gain and tone curves;
    where no ``family`` says so, each is one by itself. Factors are in the basis, in half precision and a unit of each
    component's own; gain and matched means are those of `Law`. ``leaning``, which families have, is the share of the
    family's law in a prompt's covariance."""

    text: OneHotEncoder
    weights: Array = kept("p", sums_to_one)
    residual: Array = kept("p", not_negative)
    owner: Index = kept("m", dtype="int64")
    curves: Index = kept("m", dtype="int64")
    shares: Array = kept("m", positive)
    component_means: Array = kept("m k", dtype="float")
    factors: Array = kept("m k r", dtype="float16")
    unit: Array = kept("m", positive)
    basis: Array = kept("g k k", orthonormal, "float")
    variances: Array = kept("g k", not_negative)
    gain: Array | None = kept("g k", positive, optional=True)
    matched_means: Array | None = kept("m k", dtype="float", optional=True)
    family: Index | None = kept("p", dtype="int64", optional=True)
    leaning: Array | None = kept("p", share, optional=True)

    @property
    def size(self) -> tuple[int, int]:
        m, k, r = self.factors.shape
        return r or k, m

    def reach(self, deviations: float) -> float:
        k, own, shared = self.basis.shape[1], self.unit * self.factors.any(axis=(1, 2)), np.sqrt(self.variances)
        if not own.max() < 1e30 * max(shared.min(), LEAST):
            return np.inf
        at = max(float(np.abs(a).max()) for a in (self.component_means, self.matched_means) if a is not None)
        gain = 1.0 if self.gain is None else float(self.gain.max())
        return at + deviations * gain * float(shared.max() + np.sqrt(WIDEST) * k * own.max())

    def __post_init__(self) -> None:
        for one, other in (("gain", "matched_means"), ("family", "leaning")):
            if (getattr(self, one) is None) != (getattr(self, other) is None):
                raise ValueError(f"{one} and {other} go together: give both, or neither")
        p, n, g = len(self.weights), len(self.owner), len(self.basis)
        owner = self.owner
        wrong = "owner" if not _counts_up(owner, p) else ""
        if not wrong and not np.array_equal(np.unique(self.family_of), np.arange(g)):
            wrong = "family"
        if not wrong and not self._curves_count_up():
            wrong = "curves"
        if not wrong and not np.allclose(np.bincount(owner, self.shares, p), 1.0, rtol=0, atol=1e-6):
            wrong = "shares"
        if wrong or n < p:
            raise ValueError(f"the numbers of array 'prior.{wrong}' are none that a model has")

    def _curves_count_up(self) -> bool:
        """Whether each family has curves of its own, and curves are numbered a family after the other."""
        order = np.argsort(self.curves, kind="stable")
        curves, family = self.curves[order], self.family_of[self.owner[order]]
        return (
            _counts_up(curves, int(curves[-1]) + 1)
            and _counts_up(family, len(self.basis))
            and bool((np.diff(family) <= np.diff(curves)).all())
        )

    @property
    def family_of(self) -> Index:
        """Family of each prompt (p,)."""
        return np.arange(len(self.weights)) if self.family is None else self.family

    def of(self, prompt: int) -> slice:
        """Positions of a prompt's components."""
        return slice(*np.searchsorted(self.owner, [prompt, prompt + 1]))

    def shares_of(self, prompt: int) -> Array:
        return self.shares[self.of(prompt)]

    @property
    def pooled_shares(self) -> Array:
        return super().pooled_shares if self.leaning is None else self.leaning

    @property
    def n_curves(self) -> int:
        return int(self.curves.max()) + 1

    def curves_of(self, prompt: int) -> Index:
        return self.curves[self.of(prompt)]

    def law(self, prompt: int) -> Law:
        found = self._laws.get(prompt)
        if found is None:
            own, g = self.of(prompt), int(self.family_of[prompt])
            found = self._laws[prompt] = Law(
                self.shares[own],
                self.component_means[own].astype(np.float64, copy=False),
                unpack_factors(self.factors[own], self.unit[own]),
                self._bases[g],
                self.variances[g],
                None if self.gain is None else self.gain[g],
                None if self.matched_means is None else self.matched_means[own].astype(np.float64),
            )
        return found

    def prepare(self, prompts: Iterable[int]) -> None:
        """Work out what samples of prompts are drawn from: those of a family side by side, which is faster."""
        new = [j for j in prompts if j not in self._laws]
        for few in (new[at : at + _SIDE_BY_SIDE] for at in range(0, len(new), _SIDE_BY_SIDE)):
            for g in {int(self.family_of[j]) for j in few}:
                these = [j for j in few if self.family_of[j] == g]
                if len(these) > 1:
                    self._prepare(these)

    def _prepare(self, prompts: Sequence[int]) -> None:
        """The laws of prompts of one family, and what their samples are drawn from."""
        laws = [self.law(j) for j in prompts]
        if self.factors.shape[2] == 0:  # all vary alike, by the same arrays
            first = self._alike.setdefault(int(self.family_of[prompts[0]]), laws[0].mixture)
            for law in laws:
                means = law.means if law.matched_means is None else law.matched_means
                law.__dict__["mixture"] = Mixture(law.shares, means, first.directions, first.variances)
            return
        ends = np.cumsum([0, *(len(law.shares) for law in laws)])
        parts = {name: np.concatenate([getattr(law, name) for law in laws]) for name in ("shares", "means", "factors")}
        matched = None if self.matched_means is None else np.concatenate([law.matched_means for law in laws])
        mixture = replace(laws[0], **parts, matched_means=matched).mixture
        for law, start, end in zip(laws, ends, ends[1:], strict=False):
            own = (a[start:end] for a in (mixture.means, mixture.directions, mixture.variances))
            law.__dict__["mixture"] = Mixture(law.shares, *own)

    def components_of(self, family: int) -> Index:
        """Positions of the components of a family's prompts."""
        return np.flatnonzero(self.family_of[self.owner] == family)

    def only(self, family: int, components: Index | None = None) -> "ClassPrior":
        """A family as the only prompt of a prior, with its curves counted from 0; or some of its components alone, of
        each of its curves."""
        own = self.components_of(family)
        first = int(self.curves[own].min())
        own = own if components is None else components
        shares = (self.weights[self.owner] * self.shares)[own]
        parts = {name: getattr(self, name)[own] for name in ("component_means", "factors", "unit")}
        return ClassPrior(
            OneHotEncoder(self.text.prompts[[self.owner[own[0]]]]),
            np.ones(1),
            residual=np.zeros(1),
            owner=np.zeros(len(own), np.intp),
            curves=self.curves[own] - first,
            shares=shares / shares.sum(),
            basis=self.basis[[family]],
            variances=self.variances[[family]],
            gain=None if self.gain is None else self.gain[[family]],
            matched_means=None if self.matched_means is None else self.matched_means[own],
            **parts,
        )

    @property
    def curve_owner(self) -> Index:
        """Family of each tone curve."""
        return self.family_of[self.owner[np.unique(self.curves, return_index=True)[1]]]

    @property
    def means(self) -> Array:
        means = np.zeros((len(self.weights), self.component_means.shape[1]))
        np.add.at(means, self.owner, self.shares[:, None] * self.component_means)
        return means

    @lazy
    def _laws(self) -> dict[int, Law]:
        return {}

    @lazy
    def _alike(self) -> dict[int, Mixture]:
        return {}

    @lazy
    def _bases(self) -> Array:
        return self.basis.astype(np.float64, copy=False)


def joined(
    text: OneHotEncoder,
    weights: Array,
    residual: Array,
    laws: Sequence[Law],
    curves: Index,
    owner: Index | None = None,
    family: Index | None = None,
    leaning: Array | None = None,
) -> ClassPrior:
    """The prior of families whose laws, with factors of one rank, were found apart, rounded to what a file keeps. By
    default each prompt is a family; else owner (m,) says whose each component is, and a family's components are in the
    order of their owners."""
    p = len(weights)
    owner = np.repeat(np.arange(p), [len(law.shares) for law in laws]) if owner is None else owner
    family = np.arange(p) if family is None else family
    place = np.argsort(np.argsort(family[owner], kind="stable"), kind="stable")

    def every(name: str) -> Array:
        return np.concatenate([getattr(law, name) for law in laws])[place]

    shares, (factors, unit) = every("shares"), pack_factors(every("factors"))
    return ClassPrior(
        text,
        weights,
        residual,
        owner=owner,
        curves=curves,
        shares=shares / np.bincount(owner, shares, p)[owner],
        component_means=every("means").astype(np.float32),
        factors=factors,
        unit=unit,
        basis=np.stack([law.basis for law in laws]).astype(np.float32),
        variances=np.stack([law.variances for law in laws]),
        family=None if len(laws) == p else family,
        leaning=None if len(laws) == p else leaning,
    )


def one_gaussian_each(
    text: OneHotEncoder, weights: Array, residual: Array, means: Array, covariances: Array
) -> ClassPrior:
    """The prior of prompts that are one Gaussian each, from means (p, k) and covariances (p, k, k)."""
    with one_thread():
        variances, basis = np.linalg.eigh(covariances)
    p, k = means.shape
    return ClassPrior(
        text,
        weights,
        residual,
        owner=np.arange(p),
        curves=np.arange(p),
        shares=np.ones(p),
        component_means=means,
        factors=np.zeros((p, k, 0), np.float16),
        unit=np.ones(p),
        basis=basis,
        variances=np.clip(variances, 0.0, None),
    )


def _counts_up(a: Index, n: int) -> bool:
    """Whether whole numbers increase from 0 to n - 1, each of them there."""
    return bool(len(a) and a[0] == 0 and a[-1] == n - 1 and np.isin(np.diff(a), (0, 1)).all())


def pack_factors(factors: Array) -> tuple[Array, Array]:
    """Factors (m, k, r) in half precision, and each one's unit (powers of two: packing twice changes nothing)."""
    largest = np.abs(factors).max(axis=(1, 2), initial=0.0).astype(np.float64)
    unit = np.exp2(np.ceil(np.log2(np.maximum(largest, LEAST))))
    return (factors / unit.astype(np.float32)[:, None, None]).astype(np.float16), unit


def unpack_factors(packed: Array, unit: Array) -> Array:
    """The inverse of `pack_factors`, float32."""
    return packed.astype(np.float32) * unit.astype(np.float32)[:, None, None]
