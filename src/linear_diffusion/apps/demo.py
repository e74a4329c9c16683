"""The demo: fit on real digits, draw new ones, and show every part of the model as a picture.

mnist-5k --fit--> model --> grid.png, film.png, film.gif, components.png, means.png, eigenvectors.png, one-shot.png
"""

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .. import pictures
from ..datasets import load_images
from ..model import LinearDiffusion
from .console import Log
from .drawing import trace, write_trace

if TYPE_CHECKING:
    from ..utils.types import AnyArray

_EACH = 10
"""Samples per prompt."""
_FILM, _FILM_SEED = "6", 1
"""The prompt of the film, and what is added to the seed: with seed 0 they make a legible one."""


def run(out: Path, seed: int, log: Log) -> list[str]:
    """Write the demo's folder.

    Parameters
    ----------
    out : Path
    seed : int
    log : Log
        Takes each step's time.

    Returns
    -------
    list of str
        The paths of all that was written.
    """
    with log.step("load", "reading mnist-5k") as done:
        images, prompts = load_images("mnist-5k")
        done.append(f"read {len(images):,} real handwritten digits, {images.shape[1]} x {images.shape[2]}")
    with log.step("fit", "fitting") as done:
        model = LinearDiffusion(random_state=seed).fit(images, prompts)
        share = model.explained_variance_ratio_.sum()
        done.append(f"fitted, in closed form: {model.latent_dim_} components hold {share:.0%} of the variance")
    out.mkdir(parents=True, exist_ok=True)
    with log.step("save", "saving the model") as done:
        model.save_pretrained(out / "model")
        done.append(f"{out / 'model'}: the model")
    files = [_grid(model, out, log), *_film(model, seed, out, log), *_weights(model, out, log)]
    files.append(_one_shot(model, images, prompts, seed, out, log))
    return [str(out / "model"), *map(str, files)]


def next_steps(out: Path) -> str:
    """Commands that work now, to copy."""
    command, folder = _command(), out / "model"
    commands = [
        (folder, "sample", ["7", "3", "-n", "20", "-o", str(out / "sevens-and-threes.png")]),
        (folder, "trace", ["5", "-o", str(out / "five.gif")]),
        (folder, "sample", ["-n", "1000", "-o", str(out / "digits.npz")]),
        (folder, "info", []),
    ]
    lines = [
        f"  {command} {name} {shlex.quote(str(path))} {shlex.join(rest)}".rstrip() for path, name, rest in commands
    ]
    own = "Your own images: a folder with a subfolder for each prompt, then"
    fit = f"  {command} fit FOLDER --size 32 -o {shlex.quote(str(out / 'own'))}"
    return "\n".join(["", f"Open {out / 'grid.png'} first. Then try:", *lines, own, fit])


def _command() -> str:
    """How the command was called, so that it can be called again."""
    called = Path(sys.argv[0])
    if called.name == "linear-diffusion":
        found = shutil.which("linear-diffusion")
        return "linear-diffusion" if found and Path(found).samefile(called) else shlex.quote(str(called))
    return f"{shlex.quote(sys.executable)} -m linear_diffusion"


def _samples(model: LinearDiffusion) -> "AnyArray":
    """Ten per prompt, as one sheet."""
    names = [str(p) for p in model.classes_]
    images, _ = model.sample(prompts=[name for name in names for _ in range(_EACH)])
    return pictures.sheet(images, names, pixel_range=pictures.range_of(model))


def _grid(model: LinearDiffusion, out: Path, log: Log) -> Path:
    path = out / "grid.png"
    with log.step("grid", "drawing digits") as done:
        pictures.save_png(_samples(model), path)
        done.append(f"{path}: {_EACH} new digits per prompt")
    return path


def _film(model: LinearDiffusion, seed: int, out: Path, log: Log) -> list[Path]:
    strip, film = out / "film.png", out / "film.gif"
    with log.step("film", "drawing the film") as done:
        way, names = trace(model, _FILM, sampler="ddim", n_steps=50, random_state=seed + _FILM_SEED)
        write_trace(model, way, names, 11, strip)
        write_trace(model, way, names, None, film)
        done.append(f'{strip}, {film.name}: noise becomes a "{_FILM}", in 50 steps of DDIM')
    return [strip, film]


def _weights(model: LinearDiffusion, out: Path, log: Log) -> list[Path]:
    with log.step("weights", "drawing the weights") as done:
        drawn = {
            out / "components.png": pictures.components(model),
            out / "means.png": pictures.prompt_means(model),
            out / "eigenvectors.png": pictures.eigenvectors(model),
        }
        for path, picture in drawn.items():
            pictures.save_png(picture, path)
        done.append(f"{', '.join([str(next(iter(drawn))), *(p.name for p in list(drawn)[1:])])}: the weights")
    return list(drawn)


def _one_shot(model: LinearDiffusion, images: "AnyArray", prompts: "AnyArray", seed: int, out: Path, log: Log) -> Path:
    path = out / "one-shot.png"
    with log.step("one-shot", "fitting the article's model") as done:
        article = LinearDiffusion.one_shot(random_state=seed).fit(images, prompts)
        both = pictures.side_by_side(
            [_samples(article), _samples(model)], ["the article's one-shot model", "this model"]
        )
        pictures.save_png(both, path)
        done.append(f"{path}: the article's model, fitted too, beside this one")
    return path
