"""Approximate posteriors of inverse problems against the exact one: no Monte Carlo, since a run is one affine map.

    python benchmarks/inverse.py

    y = A z + noise n,     law of z_t given y = N(M y + m, R R'),     an AffineMap from y, from noise to z_0

One prompt, one Gaussian: the denoiser is affine, so each step of a method that guides by its gradient is too, and what
the method draws given y is known, for all y at once. `docs/inverse.md` says what is compared.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from common import HERE, arguments, mnist, report
from linear_diffusion import LinearDiffusion, operators, pictures
from linear_diffusion.denoiser.affine import AffineMap
from linear_diffusion.denoiser.gaussian import GaussianDenoiser
from linear_diffusion.research import denoiser_map, noise_levels
from linear_diffusion.sampler import ddpm

DIGIT, NOISE, STEPS = "3", 0.1, (100, 1000)
HOLE = np.zeros((28, 28), bool)
HOLE[7:21, 7:21] = True
TASKS = {"a hole of 14 x 14": operators.inpaint(HOLE), "4 x smaller": operators.downsample(4)}
SHOWN = ("exact", "DPS at best", "Pi-GDM", "replacement")
DIVERGED = 1e3
"""Errors beyond this many standard deviations of the posterior."""


@dataclass(frozen=True)
class Problem:
    """``y = A z + noise n`` with z of a Gaussian; A, of shape (k, k), is symmetric, with eigenvalues from 0 to 1."""

    prior: GaussianDenoiser
    A: np.ndarray
    noise: float

    def posterior(self):
        """The exact law of z given y."""
        mu, S = self.prior.mean, self.prior.covariance
        gain = S @ self.A @ np.linalg.inv(self.A @ S @ self.A + self.noise**2 * np.eye(len(mu)))
        covariance = np.linalg.inv(np.linalg.inv(S) + self.A @ self.A / self.noise**2)
        return AffineMap(gain, mu - gain @ self.A @ mu, np.linalg.cholesky(covariance))

    def residual(self, z):
        """``y - A z``, of z as a map from y."""
        return linear(np.eye(len(self.A))) + linear(-self.A)(z)


def linear(matrix):
    return AffineMap(matrix, np.zeros(len(matrix)))


# How far z_0 is thought to lie from z0_hat: the one thing in which methods that guide the score differ.


def none(prior, t):
    """DPS (Chung et al. 2023, theorem 1): not at all."""
    return np.zeros((len(prior.mean),) * 2)


def isotropic(prior, t):
    """ΠGDM (Song et al. 2023): as for z of variance 1."""
    return t.sigma**2 / (t.alpha**2 + t.sigma**2) * np.eye(len(prior.mean))


def true(prior, t):
    """``Cov(z_0 | z_t)``: what is left are the sampler's errors."""
    return t.sigma**2 / t.alpha * denoiser_map(prior, t).matrix


def likelihood_score(problem, z, t, covariance):
    """``grad log N(y; A z0_hat(z_t), A C A' + noise^2 I)``, of z_t as a map from y."""
    z0, A = denoiser_map(problem.prior, t), problem.A
    spread = A @ covariance(problem.prior, t) @ A + problem.noise**2 * np.eye(len(A))
    return linear(z0.matrix.T @ A @ np.linalg.inv(spread))(problem.residual(z0(z)))


def by_score(covariance):
    """DDPM with the prior's score and the likelihood's: ``z0_hat + sigma^2 / alpha grad log p(y | z_t)``."""

    def step(problem, z, t, s):
        z0 = denoiser_map(problem.prior, t)(z)
        z0 = z0 + t.sigma**2 / t.alpha * likelihood_score(problem, z, t, covariance)
        go = ddpm(t, s)
        return (go.z * z + go.z0 * z0).diffuse(go.noise)

    return step


def by_gradient(zeta):
    """DPS as it is run (Chung et al. 2023, algorithm 1): a step of DDPM, less ``zeta grad |y - A z0_hat|^2 / 2``."""

    def step(problem, z, t, s):
        z0, go = denoiser_map(problem.prior, t), ddpm(t, s)
        pull = linear(zeta * z0.matrix.T @ problem.A)(problem.residual(z0(z)))
        return (go.z * z + go.z0 * z0(z) + pull).diffuse(go.noise)

    return step


def by_replacement(problem, z, t, s):
    """DDPM, and what was seen, noised to the same level, is put in after each step (RePaint without resampling)."""
    go, A = ddpm(t, s), problem.A
    z = (go.z * z + go.z0 * denoiser_map(problem.prior, t)(z)).diffuse(go.noise)
    z = linear(np.eye(len(A)) - A @ A)(z) + linear(s.alpha * A)
    root = np.linalg.qr(np.hstack([z.factor, s.sigma * A]).T, mode="r").T
    return AffineMap(z.matrix, z.shift, root)


METHODS = {
    "score, true covariance": by_score(true),
    "score, ΠGDM": by_score(isotropic),
    "score, DPS": by_score(none),
    "DPS, ζ = 0.01": by_gradient(0.01),
    "DPS, ζ = 0.1": by_gradient(0.1),
    "DPS, ζ = 1": by_gradient(1.0),
    "replacement": by_replacement,
}


def law_of(step, problem, levels):
    """The law of what a method draws, as a map from y; None where it runs away."""
    k = len(problem.A)
    z = AffineMap(np.zeros((k, k)), np.zeros(k), np.eye(k))
    for t, s in pairwise(levels):
        z = step(problem, z, t, s)
        if not np.abs(z.matrix).max() + np.abs(z.factor).max() < 1e6:
            return None
    return z


def score(problem, law):
    """Error of the mean, deviation, and 2-Wasserstein distance (Gelbrich 1990), over the posterior's deviation.

    All in root mean square over y, of the prior's own images.
    """
    exact, mu = problem.posterior(), problem.prior.mean
    seen = problem.A @ problem.prior.covariance @ problem.A + problem.noise**2 * np.eye(len(mu))
    off, bias = law.matrix - exact.matrix, law(problem.A @ mu) - exact(problem.A @ mu)
    error = np.trace(off @ seen @ off.T) + bias @ bias
    P, C = (m.factor @ m.factor.T for m in (exact, law))
    values = np.linalg.eigvalsh(exact.factor.T @ C @ exact.factor)  # those of P^1/2 C P^1/2
    between = np.trace(P) + np.trace(C) - 2 * np.sqrt(np.clip(values, 0, None)).sum()
    whole = np.trace(P)
    return {
        "mean": float(np.sqrt(error / whole)),
        "std": float(np.sqrt(np.trace(C) / whole)),
        "distance": float(np.sqrt(max(error + between, 0.0) / whole)),
    }


def pose(model, operator, images, noise, prompt):
    """The problem of one prompt in latents, what was seen of images (n, d) as y, and the operator's matrix.

    Rows of H are orthogonal and of one length. ``V' H~' (H~ x + noise n)``, with H~ of unit rows, says all
    about z that ``H x + noise n`` does, and its noise has the covariance of ``A = (V' H~' H~ V)^(1/2)``.
    """
    H = operators.observe(operator, operator(images), images.shape[1:])[0].matrix.toarray()
    length = np.linalg.norm(H[0])
    V, scale = model.components_, model.scaling_factor_
    values, vectors = np.linalg.eigh((V @ H.T) @ (V @ H.T).T / length**2)
    kept = np.where(values > 1e-10, np.sqrt(np.clip(values, 0, None)), 0)
    back = (vectors * np.divide(1, kept, out=np.zeros_like(kept), where=kept > 0)) @ vectors.T
    to_y = scale / length * back @ V @ H.T / length  # from H (x - mean) + noise n
    problem = Problem(model.denoiser(prompt), (vectors * kept) @ vectors.T, noise * scale / length)
    return problem, to_y, H


def main(options):
    X, y = mnist(options)
    X = (X[y == DIGIT] / 255).astype(np.float32)
    model = LinearDiffusion(styles=1, latent_dim=60, tone=False).fit(X, np.full(len(X), DIGIT))
    Xt, yt = mnist(options, "test")
    images = (Xt[yt == DIGIT][:4] / 255).astype(np.float64)
    figures, rows, columns = {}, [], []
    for task, operator in TASKS.items():
        problem, to_y, H = pose(model, operator, images, NOISE, DIGIT)
        laws, distances = {"exact": problem.posterior()}, {}
        for name, step in METHODS.items():
            cells = []
            for n in STEPS:
                laws[name] = law = law_of(step, problem, noise_levels("linear", n))
                found = None if law is None else score(problem, law)
                if found and found["mean"] > DIVERGED:
                    found = None
                figures[f"{task}: {name}, {n} steps"] = found
                distances[name] = found["distance"] if found else np.inf
                cells += [f"{v:.2f}" for v in found.values()] if found else ["runs away", "", ""]
            rows.append([task, name, *cells])
        best = min((name for name in METHODS if name.startswith("DPS")), key=distances.__getitem__)
        shown = {
            name: laws[key] for name, key in zip(SHOWN, ("exact", best, "score, ΠGDM", "replacement"), strict=True)
        }
        columns.append(column(model, operator, images, to_y, H, shown))
    draw(np.concatenate(columns, axis=1))
    titles = ("error of the mean", "deviation", "distance")
    header = ["seen", "method", *(f"{title}, {n} steps" for n in STEPS for title in titles)]
    note = f'Prompt "{DIGIT}" of MNIST, 60 components, noise of {NOISE}; the exact posterior has 0, 1 and 0.'
    report("inverse", header, rows, figures, note)


def column(model, operator, images, to_y, H, laws):
    """Images, what was seen, and each law's mean and deviation, shape (2 + 2 laws, n, 28, 28)."""
    flat = images.reshape(len(images), -1)
    V, scale = model.components_, model.scaling_factor_
    mean = model.encoder_.mean
    y = flat @ H.T + NOISE * np.random.default_rng(0).standard_normal((len(flat), len(H)))
    shown = (y @ H / (H**2).sum(axis=1)[0]).reshape(images.shape)
    shown = np.where(HOLE, 0.5, shown) if isinstance(operator, operators.Mask) else shown
    out = [images, shown]
    for law in laws.values():
        out.append((law((y - H @ mean) @ to_y.T) @ V / scale + mean).reshape(images.shape))
        std = np.linalg.norm(V.T @ law.factor / scale, axis=1).reshape(28, 28)
        out.append(np.broadcast_to(3 * std, images.shape))
    return np.stack(out)


def draw(rows):
    labels = ["image", "seen", *(f"{name}: {what}" for name in SHOWN for what in ("mean", "std x 3"))]
    sheet = pictures.grid(rows.reshape(-1, 28, 28), rows.shape[1], pixel_range=(0, 1), labels=labels, zoom=2)
    pictures.save_png(sheet, HERE.parent / "docs" / "images" / "inverse.png")


if __name__ == "__main__":
    main(arguments(__doc__))
