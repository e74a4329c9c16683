"""Pictures of docs/compose.md and docs/looking.md, into docs/images.

    python docs/pictures.py [--data-dir FOLDER]

With the full MNIST as IDX files where it is found, else with the 5,000 digits of mnist-5k.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from linear_diffusion import DataError, LinearDiffusion, load_images, pictures

HERE = Path(__file__).parent
IMAGES = HERE / "images"
N = 8


def digits(data_dir: str) -> tuple[Any, Any]:
    """The full MNIST, or mnist-5k."""
    try:
        return load_images("mnist", data_dir=data_dir)
    except (DataError, OSError):
        return load_images("mnist-5k")


def each(models: dict[str, LinearDiffusion], name: str, labels: list[str], draw: Any) -> None:
    """A picture of rows, by each model: ``draw(model, row) -> images``."""
    sheets = []
    for model in models.values():
        rows = [draw(model, row) for row in range(len(labels))]
        sheets.append(pictures.grid(np.concatenate(rows), len(rows[0]), labels=labels))
    pictures.save_png(pictures.side_by_side(sheets, list(models)), IMAGES / f"{name}.png")


def main(options: argparse.Namespace) -> None:
    X, y = digits(options.data_dir)
    y = np.asarray(y).astype(str)
    plain = LinearDiffusion(styles=1, latent_dim=144, random_state=0).fit(X, y)
    styled = LinearDiffusion(random_state=0).fit(X, y)
    models = {"one Gaussian per prompt": plain, "165 styles per prompt": styled}
    pictures.save_png(pictures.eigenvectors(plain), IMAGES / "eigenvectors.png")
    prompts = list("01234567")

    scales = [1, 1.5, 2, 3, 5]
    each(
        models,
        "guidance",
        [f"scale {g:g}" for g in scales],
        lambda model, i: model.sample(prompts=prompts, guidance_scale=scales[i])[0],
    )
    away = [{}, {"guidance_scale": 2}, {"guidance_scale": 2, "negative_prompts": "4"}]
    each(
        models,
        "negative",
        ["a 9", "scale 2", "away from 4"],
        lambda model, i: model.sample(N, "9", random_state=3, **away[i])[0],
    )
    weights = [0, 0.25, 0.4, 0.6, 0.75, 1]
    each(
        models,
        "mix",
        ["3", *(f"3:{1 - w:g} 8:{w:g}" for w in weights[1:-1]), "8"],
        lambda model, i: model.sample(N, {"3": 1 - weights[i], "8": weights[i]}, random_state=0)[0],
    )
    picked = np.concatenate([np.flatnonzero(y == digit)[:2] for digit in "3457"])
    wanted = [target for target in "8639" for _ in range(2)]
    strengths = [0, 0.2, 0.4, 0.6, 0.8, 1]
    each(
        models,
        "edit",
        [f"strength {s:g}" for s in strengths],
        lambda model, i: model.edit(X[picked], wanted, strengths[i], random_state=1),
    )
    pairs = ["38", "35", "49", "71", "55"]
    ends = [[np.flatnonzero(y == digit)[6 + i] for i, digit in enumerate(pair)] for pair in pairs]
    each(
        models,
        "interpolate",
        [f"{a} to {b}" for a, b in pairs],
        lambda model, i: model.interpolate(X[ends[i][0]], X[ends[i][1]], N, prompts=list(pairs[i])),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", default=str(HERE.parent.parent / "shared" / "data"), help="folder of IDX files")
    main(parser.parse_args())
