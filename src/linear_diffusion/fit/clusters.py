"""Clusters: how the styles of a prompt are found (docs/mathematics.md, "Styles").

    k-means in latents -> means, scatter of each with its neighbours' -> own directions, what all share

    C_j = (n_j S_j + b T_j) / (n_j + b),   F_j = C_j U (U' C_j U)^(-1/2),   rest = mean of C_j - F_j F_j'

A style has few images, so its covariance leans on its neighbours' mean T_j, as far as the data ask for it. Its own
directions are among few leading ones of the prompt, so that detail follows from what is coarse: drawn by itself, detail
is noise. What a law of styles is and does is in `denoiser.law`.
"""

import warnings

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist

from ..denoiser.law import Law
from ..denoiser.moments import members
from ..denoiser.prior import LEAST
from ..utils.progress import counted
from ..utils.threads import in_parallel, one_openmp_thread, one_thread
from ..utils.types import Array, Index

CLUSTER_DIM = 50
"""Leading latent dimensions that k-means sees; what lies beyond is detail (benchmarks/styles.py, "clusters see 25
dimensions")."""
_DETAIL = 2.0
"""Weight, in k-means, of the length of the detail: how much there is of it is style, of what kind it is is not
(benchmarks/styles.py, "clusters do not see how much detail there is", "clusters see it twice as large")."""
LEAST_IMAGES = 10
"""Images that a style has at least, on average (benchmarks/styles.py, "6,000 images, a style has 5")."""
_MOST_ROUNDS = 25
"""Rounds of k-means (benchmarks/styles.py, "100 rounds of k-means")."""
STYLES_A_CURVE, _IMAGES_A_CURVE = 3, 150
"""Styles that share tone curves, on average, and images that these are of, at least (benchmarks/styles.py, "one tone
curve for each prompt", "three times as many tone curves")."""
RANK = 16
"""Directions of a style's own (benchmarks/styles.py, "12 directions per style", "24 directions per style")."""
LEADING = 25
"""Leading directions of a prompt, in whose span its styles' own directions begin (benchmarks/styles.py, "own directions
begin in 16 of the prompt's", "own directions begin in 80 of the prompt's")."""
_ROWS = 4096
"""Rows of a product that are turned to float64 at once, which fit in a cache."""
_NEIGHBOURS = 8
"""Styles whose scatter counts in that of one, since it has few images itself (benchmarks/styles.py, "3 neighbours
lend", "30 neighbours lend")."""


def fit_styles(
    z: Array, index: Index, n_prompts: int, n_styles: int, floor: float, ridge: float = 0.0, seed: int = 0
) -> tuple[list[Law], list[Index], Index]:
    """Find the styles of each prompt in latents (n, k) of images: the law of each, the group of each style (styles that
    look most alike share tone curves, whose numbers increase), and the style of each image (n,), counted from 0 in each
    prompt. A prompt has ``n_styles`` at most, and never more than one for ten images; shared variances have a floor,
    and the ridge is added to them."""
    from sklearn.exceptions import ConvergenceWarning  # late: it takes as long to import as all else

    images, labels = members(index, n_prompts), np.empty(len(z), np.intp)

    def learn(own: Index) -> tuple[Law, Index]:
        law, group, labels[own] = fit_prompt(z[own], n_styles, floor, ridge, seed)
        return law, group

    # Around all threads: filters of warnings belong to the process, so that threads that set them undo each other's.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different images than styles: less is found
        learned = in_parallel(counted(learn, n_prompts, "styles: prompt"), images)
    return [law for law, _ in learned], [group for _, group in learned], labels


def fit_prompt(z: Array, n_styles: int, floor: float, ridge: float = 0.0, seed: int = 0) -> tuple[Law, Index, Index]:
    """The law of one prompt's latents (n, k), the group of each style, and the style of each image."""
    labels, group = _cluster(z, min(n_styles, max(len(z) // LEAST_IMAGES, 1)), seed)
    return _describe(z, labels, floor, ridge), group, labels


def _describe(z: Array, labels: Index, floor: float, ridge: float) -> Law:
    """Styles of given images: means, own directions, and what they share."""
    counts = np.bincount(labels).astype(np.float64)
    means = _means(z, labels, counts)
    residual = z - means.astype(z.dtype)[labels]
    leading = _leading(residual.T @ residual / len(z)).astype(np.float64)
    thin = _own_scatter(residual, labels, leading)
    fourth = float((((residual @ leading.astype(z.dtype)) ** 2).sum(axis=1, dtype=np.float64) ** 2).sum())
    smoothing = _smoothing(counts, means, leading.T @ thin, fourth)
    own = _own_directions((smoothing @ thin.reshape(len(thin), -1)).reshape(thin.shape), leading)
    shares = counts / counts.sum()
    weight = np.sqrt(shares @ smoothing)[labels]  # how much each image counts in the mean of all covariances
    rest = _product(residual, weight) - np.tensordot(shares[:, None, None] * own, own, ((0, 2), (0, 2)))
    # Directions in which nothing varies all have the floor, and could be any; so that they are not what rounding makes
    # of them, which each processor does in its own way, a tenth of the floor tells them apart.
    rest[np.diag_indices_from(rest)] += 0.1 * floor * np.linspace(1.0, 0.0, len(rest))
    variances, basis = np.linalg.eigh(rest)
    factors = (basis.T @ own).astype(np.float32)
    return Law(shares, means, factors, basis, np.maximum(variances + ridge, max(floor, LEAST)))


def _cluster(z: Array, n_styles: int, seed: int) -> tuple[Index, Index]:
    """Style of each image, and group of each style."""
    from sklearn.cluster import KMeans, kmeans_plusplus  # late: it takes as long to import as all else

    if n_styles == 1:
        return np.zeros(len(z), np.intp), np.zeros(1, np.intp)
    with one_openmp_thread():
        detail = np.linalg.norm(z[:, CLUSTER_DIM:], axis=1)
        seen = np.column_stack([z[:, :CLUSTER_DIM], np.asarray(_DETAIL * detail, z.dtype)])
        # One trial a center (Arthur and Vassilvitskii 2007): greedy choices among several make styles of outliers.
        # In double precision, which scikit-learn turns distances into anyway, at each center anew.
        init, _ = kmeans_plusplus(seen.astype(np.float64), n_styles, random_state=seed, n_local_trials=1)
        init = init.astype(z.dtype)
        init = init[np.sort(np.unique(init, axis=0, return_index=True)[1])]  # images that are there twice are one
        chosen = KMeans(len(init), init=init, n_init=1, max_iter=_MOST_ROUNDS, random_state=seed).fit(seen)
        present, labels = np.unique(chosen.labels_, return_inverse=True)
        centers = chosen.cluster_centers_[present]
        n_groups = max(min(len(present) // STYLES_A_CURVE, len(z) // _IMAGES_A_CURVE), 1)
        group = KMeans(n_groups, n_init=1, random_state=seed).fit_predict(centers)
    order = np.argsort(group, kind="stable")  # styles of a group are neighbours in number as well
    return np.argsort(order)[labels], np.unique(group[order], return_inverse=True)[1]


def _means(z: Array, labels: Index, counts: Array) -> Array:
    """Mean of each style, shape (s, k)."""
    one_hot = csr_array((np.ones(len(z), z.dtype), (labels, np.arange(len(z)))), shape=(len(counts), len(z)))
    return (one_hot @ z).astype(np.float64) / counts[:, None]


def _smoothing(counts: Array, means: Array, scatter: Array, fourth: float) -> Array:
    """How much the scatter of one style counts in the covariance of another, shape (s, s).

    A style alone has few images, so its covariance leans on its neighbours': ``(n S + b T) / (n + b)``, where T is
    their mean covariance. How many images b they count as follows from the data in closed form, as in Ledoit and Wolf
    (2004, "A well-conditioned estimator for large-dimensional covariance matrices", eq. 14): the variance v of one
    image's product ``x x'``, over how far S and T lie apart in mean square beyond the v / n that chance explains. All
    is in the leading directions: scatter (s, m, m), and ``fourth``, the sum of ``|x|^4`` over all images.
    """
    n_styles = len(counts)
    if n_styles == 1:
        return 1 / counts[None]
    near = np.argsort(cdist(means, means), axis=1)[:, 1 : _NEIGHBOURS + 1]
    theirs = np.zeros((n_styles, n_styles))
    np.put_along_axis(theirs, near, 1.0, axis=1)
    theirs /= (theirs @ counts)[:, None]
    flat = scatter.reshape(n_styles, -1)
    own, near_by = flat / counts[:, None].astype(flat.dtype), theirs.astype(flat.dtype) @ flat
    v = max(fourth - float(counts @ (own**2).sum(axis=1, dtype=np.float64)), 0.0) / counts.sum()
    apart = float(((own - near_by) ** 2).sum(axis=1, dtype=np.float64).mean()) - v * float((1 / counts).mean())
    b = v / max(apart, 1e-3 * v, LEAST)  # a thousand images are as good as any number
    return (np.eye(n_styles) + b * theirs) / (counts + b)[:, None]


def _leading(within: Array) -> Array:
    """The leading directions of a prompt, shape (k, m), among which its styles have their own."""
    vectors: Array = np.linalg.eigh(within)[1]
    return vectors[:, ::-1][:, :LEADING]


def _product(x: Array, weight: Array) -> Array:
    """``x' x`` of rows (n, k), each times its weight, in float64 a chunk at a time: what float32 rounds, in its own way
    on each processor, turns eigenvectors whose values are close."""
    k = x.shape[1]
    total = np.zeros((k, k))
    for start in range(0, len(x), _ROWS):
        part = x[start : start + _ROWS] * weight[start : start + _ROWS, None]
        total += part.T @ part
    return total


def _own_scatter(residual: Array, labels: Index, leading: Array) -> Array:
    """Scatter of each style times the leading directions, shape (s, k, m)."""
    order, seen = np.argsort(labels, kind="stable"), np.bincount(labels)
    parts = np.split(order, np.cumsum(seen[:-1]))
    thin = np.empty((len(seen), *leading.shape))
    with one_thread():
        for style, own in enumerate(parts):
            x = residual[own].astype(np.float64)
            thin[style] = x.T @ (x @ leading)
    return thin


def _own_directions(covariance: Array, leading: Array) -> Array:
    """Factors of the styles (s, k, r), from their covariances times the leading directions (s, k, m). The widest
    directions of a style within the leading ones, each with what follows from it, by regression, in all others
    (Nystrom's extension): ``C U (U' C U)^(-1/2)``, which equals C's leading part where m is k."""
    with one_thread():
        values, rotation = np.linalg.eigh(leading.T @ covariance)
    values, rotation = values[:, ::-1][:, :RANK], rotation[:, :, ::-1][:, :, :RANK]
    safe = np.where(values > 1e-6 * values[:, :1].clip(LEAST), values, np.inf)
    factors: Array = covariance @ (rotation / np.sqrt(safe)[:, None, :])
    return factors * np.where(factors.sum(axis=1, keepdims=True) < 0, -1.0, 1.0)
