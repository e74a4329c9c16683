"""Clusters: which images of a prompt look alike, its styles (docs/mathematics.md, "Styles").

    k-means of a sample of latents -> centres,   style of an image = the nearest centre of its prompt's

Centres are found in a uniform sample of images: in all, where there are no more than `MOST_SEEN`. What is learned of
styles, once their centres are fixed, is in `fit.styles`.
"""

import warnings

import numpy as np

from ..denoiser.moments import members
from ..utils.groups import by_group
from ..utils.progress import counted
from ..utils.threads import in_parallel, one_openmp_thread
from ..utils.types import AnyArray, Array, Index
from .source import Latents, Sample, Source

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
MOST_SEEN = 2**18
"""Images of the sample that centres are found in, at most: 50 MB of what k-means sees."""
_MOST_CURVES = 55
"""Groups of a family that share tone curves, at most: a third of the default's styles."""


class Nearest:
    """The style of an image: of its prompt's, whose centre is nearest. ``owner`` (m,), in increasing order, is the
    prompt of each centre (m, seen)."""

    def __init__(self, centres: Array, owner: Index) -> None:
        self.centres, self.owner = centres, owner
        self.first = np.searchsorted(owner, np.arange(int(owner[-1]) + 2))

    def __call__(self, z: Array, index: Index) -> Index:
        """Positions (n,) of the styles of latents (n, k) whose prompts (n,) are given."""
        labels = self.first[index]
        several = np.flatnonzero(self.first[index + 1] - labels > 1)
        for j, own in by_group(index[several]) if len(several) else ():
            rows = several[own]
            labels[rows] += nearest(what_is_seen(z[rows]), self.centres[self.first[j] : self.first[j + 1]])
        return labels


def find_centres(source: Source, latents: Latents, family: Index, n_styles: int, seed: int) -> tuple[Nearest, Index]:
    """Which style is nearest to a latent, and the tone curve of each style."""
    p = len(source.classes)
    sample = source.total(SeenSample(latents, source), "sample for the styles")
    images = members(sample.index, p)

    def find(j: int) -> Array:
        seen = sample.kept[images[j]]
        seen = seen[np.lexsort(seen.T[2::-1])]  # so that the order in which images came does not count
        return _centres(seen, min(n_styles, max(len(seen) // LEAST_IMAGES, 1)), seed)

    # Around all threads: filters of warnings belong to the process, so that threads that set them undo each other's.
    with warnings.catch_warnings():
        from sklearn.exceptions import ConvergenceWarning  # late: it takes as long to import as all else

        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different images than styles: less is found
        centres = in_parallel(counted(find, p, "styles: prompt"), range(p))
        owner = np.repeat(np.arange(p), [len(c) for c in centres])
        every = np.concatenate(centres)
        curves, first = np.empty(len(every), np.intp), 0
        for g in range(int(family.max()) + 1):
            own = np.flatnonzero(family[owner] == g)
            n_images = int(source.counts[family == g].sum())
            curves[own] = first + _grouped(every[own], n_images, seed)
            first = int(curves[own].max()) + 1
    order = np.lexsort((curves, owner))  # a prompt's styles of one curve are neighbours in number as well
    return Nearest(every[order], owner), curves[order]


def _centres(seen: Array, n_styles: int, seed: int) -> Array:
    """The centres (s, m) of clusters of what k-means sees (n, m)."""
    from sklearn.cluster import KMeans, kmeans_plusplus  # late: it takes as long to import as all else

    if n_styles == 1:
        mean: Array = seen.mean(axis=0, keepdims=True) if len(seen) else np.zeros((1, seen.shape[1]), seen.dtype)
        return mean
    with one_openmp_thread():
        # One trial a center (Arthur and Vassilvitskii 2007): greedy choices among several make styles of outliers.
        # In double precision, which scikit-learn turns distances into anyway, at each center anew.
        init, _ = kmeans_plusplus(seen.astype(np.float64), n_styles, random_state=seed, n_local_trials=1)
        init = init.astype(seen.dtype)
        init = init[np.sort(np.unique(init, axis=0, return_index=True)[1])]  # images that are there twice are one
        chosen = KMeans(len(init), init=init, n_init=1, max_iter=_MOST_ROUNDS, random_state=seed).fit(seen)
        centres = chosen.cluster_centers_
        # By the distances that tell styles of all images, which may round otherwise: none may be left without images.
        return np.asarray(centres[np.unique(nearest(seen, centres))])


def _grouped(centres: Array, n_images: int, seed: int) -> Index:
    """The group of each centre (s, m): those that look most alike share tone curves."""
    from sklearn.cluster import KMeans  # late: it takes as long to import as all else

    n_groups = max(min(len(centres) // STYLES_A_CURVE, n_images // _IMAGES_A_CURVE, _MOST_CURVES), 1)
    if n_groups == 1:
        return np.zeros(len(centres), np.intp)
    with one_openmp_thread():
        group = KMeans(n_groups, n_init=1, random_state=seed).fit_predict(centres)
    return np.unique(group, return_inverse=True)[1]


def what_is_seen(z: Array) -> Array:
    """What k-means sees of latents (n, k): the leading ones, and how much there is of the others."""
    detail = np.linalg.norm(z[:, CLUSTER_DIM:], axis=1)
    return np.column_stack([z[:, :CLUSTER_DIM], np.asarray(_DETAIL * detail, z.dtype)])


def nearest(seen: Array, centres: Array) -> Index:
    """The nearest of the centres (s, m) to each of (n, m)."""
    x, c = seen.astype(np.float64), centres.astype(np.float64)
    return np.asarray((np.einsum("sm,sm->s", c, c) - 2 * (x @ c.T)).argmin(axis=1))


class SeenSample(Sample):
    """What k-means sees of a uniform sample of images."""

    def __init__(self, latents: Latents, source: Source) -> None:
        self.latents = latents
        super().__init__(MOST_SEEN, source.image, min(latents.latent_dim, CLUSTER_DIM) + 1, latents.dtype)

    def keep(self, rows: AnyArray) -> Array:
        return what_is_seen(self.latents(rows))
