"""The commands that answer about images: score, classify, restore.

    MODEL, DATA --score, classify--> text, JSON, .csv        MODEL, image files --restore--> image files, a sheet

`cli` registers them.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from .arguments import count, open_model
from .console import Log, show
from .outputs import check_apart, check_file, check_folder

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
ModelPath = Annotated[Path, typer.Argument(metavar="MODEL", help="Folder that fit wrote.", show_default=False)]
Images = Annotated[
    str,
    typer.Argument(metavar="DATA", help="An image file, a folder of images, or data as in fit.", show_default=False),
]
Csv = Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help=".csv: a row an image.")]
DataDir = Annotated[Path | None, typer.Option(help="Where the IDX files of mnist and fashion-mnist are.")]
Split = Annotated[str, typer.Option(metavar="NAME", help="train or test, of data that has both.")]


def score(
    model_path: ModelPath,
    data: Images,
    contamination: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Stranger than all but this share of training images: an outlier.")
    ] = 0.01,
    split: Split = "train",
    data_dir: DataDir = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed: the noise that makes bytes real numbers.")] = 0,
    out: Csv = None,
    as_json: Json = False,
) -> None:
    """Say how likely images are, in nats and in bits a pixel, and which are outliers."""
    if out is not None:
        check_file(out, (".csv",))
        check_apart([out], data)
    log = Log()
    model = open_model(model_path, None, log)
    from . import restoring as work

    images, _, names = work.read_data(model, data, split, data_dir, log)
    with log.step("score", f"scoring {len(images):,} images"):
        log_density = model.score_samples(images)
        strange = -log_density > model.outlier_threshold(contamination)
        bits = model.bits_per_dim(images, random_state=seed) if model._image.pixel_range else None
    if out is not None:
        found = [round(float(b), 4) for b in bits] if bits is not None else [None] * len(names)
        rows = zip(names, log_density, found, strange, strict=True)
        work.write_table(
            [
                {"image": name, "log_density": round(float(p), 3), "bits_per_dim": b, "outlier": int(o)}
                for name, p, b, o in rows
            ],
            out,
        )
    record: dict[str, Any] = {
        "model": str(model_path),
        "data": data,
        "n_images": len(images),
        "log_density": float(log_density.mean()),
        "bits_per_dim": None if bits is None else float(bits.mean()),
        "contamination": contamination,
        "outliers": int(strange.sum()),
        "out": None if out is None else str(out),
        "seconds": log.seconds,
    }
    text = f"{count(len(images), 'image')}: log-density {record['log_density']:.1f} nats on average"
    text += "" if bits is None else f", {record['bits_per_dim']:.3f} bits a pixel"
    text += f"; {count(record['outliers'], 'outlier')} ({strange.mean():.1%})"
    show(record, text + ("" if out is None else f"; {out}"), as_json=as_json)


def classify(
    model_path: ModelPath,
    data: Images,
    split: Split = "train",
    data_dir: DataDir = None,
    out: Csv = None,
    as_json: Json = False,
) -> None:
    """Read the prompt off each image, by Bayes' rule."""
    if out is not None:
        check_file(out, (".csv",))
        check_apart([out], data)
    log = Log()
    model = open_model(model_path, None, log)
    from . import restoring as work

    images, prompts, names = work.read_data(model, data, split, data_dir, log)
    with log.step("classify", f"reading the prompts of {len(images):,} images"):
        likely = model.predict_proba(images)
    classes = model.classes_.astype(str)
    found, sure = classes[likely.argmax(axis=1)], likely.max(axis=1)
    known = bool((prompts != "").any() and set(prompts.tolist()) <= set(classes.tolist()))
    accuracy = float((found == prompts).mean()) if known else None
    if out is not None:
        work.write_table(
            [
                {"image": name, "prompt": str(prompt), "probability": round(float(p), 6)}
                for name, prompt, p in zip(names, found, sure, strict=True)
            ],
            out,
        )
    record: dict[str, Any] = {
        "model": str(model_path),
        "data": data,
        "n_images": len(images),
        "accuracy": accuracy,
        "prompts": {str(c): int((found == c).sum()) for c in classes},
        "out": None if out is None else str(out),
        "seconds": log.seconds,
    }
    if len(images) == 1:
        text = f"{found[0]} ({sure[0]:.1%})"
    elif accuracy is not None:
        text = f"{count(len(images), 'image')} in {log.seconds['classify']:.2f} s, {accuracy:.2%} read as their prompt"
    else:
        text = f"{count(len(images), 'image')}: " + ", ".join(f"{c} {n:,}" for c, n in record["prompts"].items())
    show(record, text + ("" if out is None else f"; {out}"), as_json=as_json)


def restore(
    model_path: ModelPath,
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="An image file, or a folder of images.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="A .png file for a file, a folder for a folder.", show_default=False)
    ],
    task: Annotated[str, typer.Option(help="inpaint, denoise, deblur, super-resolve or colorize.")] = "denoise",
    mask: Annotated[
        Path | None, typer.Option(metavar="FILE", help="For inpaint: an image, white where pixels are missing.")
    ] = None,
    blur: Annotated[
        float | None, typer.Option(metavar="S", help="For deblur: standard deviation of the blur, in pixels.")
    ] = None,
    factor: Annotated[
        int | None, typer.Option(metavar="N", help="For super-resolve: how many times smaller the files are.")
    ] = None,
    noise: Annotated[
        float | None,
        typer.Option(min=0.0, help="Deviation of noise, in grey levels.", show_default="estimated for denoise"),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="What the images show.", show_default="all prompts, weighed by evidence")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(metavar="FILE", help=".png: before, after, and how unsure each pixel is.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Restore image files: the posterior mean, given what is left of them."""
    if sheet is not None:
        check_file(sheet, (".png",))
    if source.is_dir():
        check_folder(out)
    else:
        check_file(out, (".png",))
    from . import restoring as work

    log = Log()
    paths = work.list_images(source)
    targets = work.targets(paths, source, out)
    check_apart([*targets, sheet], source, mask)
    model = open_model(model_path, None, log)
    operator = work.operator_of(task, model.image_shape_, mask, blur, factor)
    with log.step("read", f"reading {source}"):
        images = work.read(paths, model.image_shape_, factor or 1, gray=task == "colorize")
    if noise is None and task != "denoise":
        noise = 0.0 if task == "inpaint" else work.ROUNDING
    with log.step("restore", f"restoring {len(images):,} images"):
        restored, std = work.restore(model, images, operator, noise, prompt)
    with log.step("write", f"writing {out}"):
        work.write(restored, targets)
        if sheet is not None:
            from .. import pictures

            pictures.save_png(work.sheet(images, restored, std, operator), sheet)
    record = {
        "out": str(out),
        "task": task,
        "n_images": len(images),
        "noise": noise,
        "sheet": None if sheet is None else str(sheet),
        "seconds": log.seconds,
    }
    text = f"{out}: {count(len(images), 'image')}, {task}, in {log.seconds['restore']:.2f} s"
    show(record, text + ("" if sheet is None else f"; {sheet}"), as_json=as_json)
