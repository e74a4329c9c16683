"""Draw the picture of docs/restore.md: ``python docs/restore.py``, from the project's root (the extra demo).

Rows: the image, what was seen of it, the posterior mean, its standard deviation, and two draws.
"""

from pathlib import Path

import numpy as np

from linear_diffusion import LinearDiffusion, load_images, operators, pictures

HOLE = np.zeros((28, 28), bool)
HOLE[7:21, 7:21] = True
SEEN = {
    "noise": (None, 60.0),
    "hole": (operators.inpaint(HOLE), 0.0),
    "blur": (operators.blur(2.0), 3.0),
    "small": (operators.downsample(4), 0.3),
}


def column(model, images, operator, noise, seed):
    """An image of each kind for one operator, shape (6, n, 28, 28)."""
    y = images if operator is None else operator(images.astype(float))
    y = y + noise * np.random.default_rng(seed).standard_normal(y.shape)
    mean, std = model.restore(y, operator, noise, return_std=True)
    draws = model.restore(y, operator, noise, n_samples=2, random_state=seed)
    shown = np.where(HOLE, 128.0, y) if isinstance(operator, operators.Mask) else y
    zoom = 28 // shown.shape[1]
    shown = shown.repeat(zoom, axis=1).repeat(zoom, axis=2)
    return np.stack([images.astype(float), shown, mean, 2 * std, draws[:, 0], draws[:, 1]])


def main():
    X, y = load_images("mnist-5k")
    model = LinearDiffusion(styles=30, latent_dim=200, random_state=0).fit(X[100:], y[100:])
    chosen = [int(np.flatnonzero(y[:100] == c)[0]) for c in ("3", "5", "8")]
    parts = [column(model, X[chosen], operator, noise, i) for i, (operator, noise) in enumerate(SEEN.values())]
    rows = np.concatenate(parts, axis=1)  # (6, 12, 28, 28)
    labels = ["image", "seen", "posterior mean", "std (x 2)", "a draw", "another"]
    sheet = pictures.grid(rows.reshape(-1, 28, 28), rows.shape[1], pixel_range=(0, 255), labels=labels, zoom=2)
    pictures.save_png(sheet, Path(__file__).parent / "images" / "restore.png")


if __name__ == "__main__":
    main()
