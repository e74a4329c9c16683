"""
DPS, scored against the exact posterior
=======================================

Diffusion posterior sampling (DPS, Chung et al. 2023) guides a sampler towards what was
seen of an image. On real images nobody knows what it should draw. Here the exact
posterior is known, and so is what DPS draws: each of its steps is an affine map of the
noise and of what was seen.
"""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np

from linear_diffusion import LinearDiffusion, load_images, pictures, research

images, prompts = load_images("mnist-5k")
threes = images[prompts == "3"]
model = LinearDiffusion(styles=1, latent_dim=40, tone=False).fit(threes[:450])
prior, k = model.denoiser(""), model.latent_dim_

# %%
# A hole hides the middle. What the other pixels say about the latent z are the k
# numbers ``y = A z + noise``:

hole = np.zeros((28, 28), bool)
hole[8:20, 8:20] = True
seen = model.components_[:, ~hole.ravel()]
values, vectors = np.linalg.eigh(seen @ seen.T)
A = vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T
noise = 0.1

S, mu = prior.covariance, prior.mean
gain = S @ A @ np.linalg.inv(A @ S @ A + noise**2 * np.eye(k))
exact = {"M": gain, "m": mu - gain @ A @ mu, "C": S - gain @ A @ S}  # N(M y + m, C)

# %%
# A step of DDIM, then a step of size zeta down the gradient of ``|y - A z0_hat|²``. z
# is carried as what it is for all y and all noise: ``M y + m + R n``.


def dps(zeta, n_steps=100):
    """Mean and covariance of what DPS draws, as functions of y."""
    M, m, R = np.zeros((k, k)), np.zeros(k), np.eye(k)
    levels = research.noise_levels("cosine", n_steps)
    for t, s in pairwise(levels):
        z0 = research.denoiser_map(prior, t)
        ratio = s.sigma / t.sigma
        pull = zeta * z0.matrix.T @ A  # times y - A z0_hat
        keep = (s.alpha - t.alpha * ratio) * np.eye(k) - pull @ A  # of z0_hat
        step, shift = ratio * np.eye(k) + keep @ z0.matrix, keep @ z0.shift
        M, m, R = step @ M + pull, step @ m + shift, step @ R
    return {"M": M, "m": m, "C": R @ R.T}


def errors(law):
    """Of the mean, and of the deviation, in units of the posterior's deviation."""
    whole = np.trace(exact["C"])
    off = law["M"] - exact["M"]
    bias = off @ A @ mu + law["m"] - exact["m"]
    spread = np.trace(off @ (A @ S @ A + noise**2 * np.eye(k)) @ off.T)
    return np.sqrt([(spread + bias @ bias) / whole, np.trace(law["C"]) / whole])


zetas = np.geomspace(0.01, 2, 30)
found = np.array([errors(dps(zeta)) for zeta in zetas])
fig, ax = plt.subplots()
ax.plot(zetas, found[:, 0], label="error of the mean (0 is exact)")
ax.plot(zetas, found[:, 1], label="deviation (1 is exact)")
ax.axhline(1, color="black", linestyle=":", linewidth=1)
ax.set(
    xscale="log",
    ylim=(0, 3),
    xlabel="step size zeta",
    ylabel="in deviations of the posterior",
)
ax.legend()
plt.show()

# %%
# A small zeta hardly uses what was seen, so draws vary too much. With a large one they
# hardly vary: DPS is too sure. Where the mean is best, the deviation is far too small,
# and with a zeta that is a little larger still, DPS runs away. In pictures, for threes
# that the model has not seen:

best = zetas[found[:, 0].argmin()]
new = threes[450:456]
y = model.transform(new) @ A + noise * np.random.default_rng(0).standard_normal((6, k))
n = np.random.default_rng(1).standard_normal((6, k))
rows = [new, np.where(hole, 128, new).astype(np.uint8)]
for law in (exact, dps(best)):
    root = np.linalg.cholesky(law["C"] + 1e-9 * np.eye(k))
    mean = y @ law["M"].T + law["m"]
    rows += [model.inverse_transform(mean), model.inverse_transform(mean + n @ root.T)]
labels = ["image", "seen", "exact: mean", "exact: a draw", "DPS: mean", "DPS: a draw"]
pictures.show(np.concatenate(rows), 6, labels=labels)

# %%
# Even at its best zeta, what DPS puts into the hole differs from what it should. The
# page on :doc:`inverse problems </inverse>` has more methods, measured on the full
# MNIST.
