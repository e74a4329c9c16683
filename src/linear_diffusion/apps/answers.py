"""The commands that answer about images and models: score, classify, restore, evaluate.

    MODEL, DATA --score, classify--> text, JSON, .csv        MODEL, image files --restore--> image files, a sheet
    MODEL, DATA --evaluate--> text, JSON, .html

`cli` registers them.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..exceptions import count
from .arguments import open_model, own_size, reading
from .console import Log, show
from .options import Crop, Csv, DataDir, Gray, ImageColumn, Images, Json, ModelPath, Pad, Rgb, Split, TextColumn
from .outputs import check_apart, check_file, check_folder


def score(
    model_path: ModelPath,
    data: Images,
    crop: Crop = False,
    pad: Pad = False,
    split: Split = None,
    text_column: TextColumn = None,
    image_column: ImageColumn = None,
    data_dir: DataDir = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed: the noise that makes bytes real numbers.")] = 0,
    out: Csv = None,
    as_json: Json = False,
) -> None:
    """Say how likely images are, in nats and in bits per pixel."""
    if out is not None:
        check_file(out, (".csv",))
        check_apart([out], data)
    options = {"split": split, "text_column": text_column, "image_column": image_column, "data_dir": data_dir}
    options |= {"resize": reading(crop=crop, pad=pad)["resize"]}
    log = Log()
    model = open_model(model_path, None, log, exact=True)
    from . import restoring as work

    images, _, names = work.read_data(model, data, log, options)
    with log.step("score", f"scoring {count(len(images), 'image')}"):
        log_density = model.score_samples(images)
        bits = model.bits_per_dim(images, random_state=seed) if model.decoder_.image.pixel_range else None
    if out is not None:
        found = [round(float(b), 4) for b in bits] if bits is not None else [None] * len(names)
        rows = zip(names, log_density, found, strict=True)
        work.write_table(
            [{"image": name, "log_density": round(float(p), 3), "bits_per_dim": b} for name, p, b in rows], out
        )
    record: dict[str, Any] = {
        "model": str(model_path),
        "data": data,
        "n_images": len(images),
        "log_density": float(log_density.mean()),
        "bits_per_dim": None if bits is None else float(bits.mean()),
        "out": None if out is None else str(out),
        "seconds": log.seconds,
    }
    text = f"{count(len(images), 'image')}: log-density {record['log_density']:.1f} nats on average"
    text += "" if bits is None else f", {record['bits_per_dim']:.3f} bits per pixel"
    show(record, text + ("" if out is None else f"; {out}"), as_json=as_json)


def classify(
    model_path: ModelPath,
    data: Images,
    crop: Crop = False,
    pad: Pad = False,
    split: Split = None,
    text_column: TextColumn = None,
    image_column: ImageColumn = None,
    data_dir: DataDir = None,
    out: Csv = None,
    as_json: Json = False,
) -> None:
    """Read the prompt off each image, by Bayes' rule."""
    if out is not None:
        check_file(out, (".csv",))
        check_apart([out], data)
    options = {"split": split, "text_column": text_column, "image_column": image_column, "data_dir": data_dir}
    options |= {"resize": reading(crop=crop, pad=pad)["resize"]}
    log = Log()
    model = open_model(model_path, None, log, exact=True)
    from . import restoring as work

    images, prompts, names = work.read_data(model, data, log, options)
    with log.step("classify", f"reading the prompts of {count(len(images), 'image')}"):
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
    resize: Annotated[
        bool,
        typer.Option("--resize", help="Bring files of another size to the model's; --crop or --pad to keep shape."),
    ] = False,
    crop: Crop = False,
    pad: Pad = False,
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
    how = reading(crop=crop, pad=pad)["resize"]
    from ..operators import ROUNDING
    from . import restoring as work

    log = Log()
    paths = work.list_images(source)
    targets = work.targets(paths, source, out)
    check_apart([*targets, sheet], source, mask)
    model = open_model(model_path, None, log, exact=True)
    operator = work.operator_of(task, model.image_shape_, mask, blur, factor)
    with log.step("read", f"reading {source}"):
        images = work.read(
            paths, model.image_shape_, factor or 1, how, gray=task == "colorize", strict=not (resize or crop or pad)
        )
    if noise is None and task != "denoise":
        noise = 0.0 if task == "inpaint" else ROUNDING
    with log.step("restore", f"restoring {count(len(images), 'image')}"):
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


def evaluate(
    model_path: ModelPath,
    data: Annotated[str, typer.Argument(metavar="DATA", help="What it was fitted on, as in fit.", show_default=False)],
    test: Annotated[
        str | None,
        typer.Option(metavar="TEST", help="Held-out images: DATA's own test split, or a share.", show_default=False),
    ] = None,
    test_share: Annotated[
        float | None,
        typer.Option(help="Share of DATA to hold out by seed.", show_default="0.2 where DATA has no test split"),
    ] = None,
    refit: Annotated[
        bool, typer.Option("--refit", help="Score a model of the same settings, fitted on the training images alone.")
    ] = False,
    n: Annotated[int, typer.Option("-n", min=8, max=1_000_000, help="Samples to draw.")] = 10_000,
    size: Annotated[str | None, typer.Option(metavar="N|HxW", help="Resize.", show_default="the model's size")] = None,
    crop: Crop = False,
    pad: Pad = False,
    gray: Gray = False,
    rgb: Rgb = False,
    text_column: TextColumn = None,
    image_column: ImageColumn = None,
    data_dir: DataDir = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed: the split, the samples, small sets.")] = 0,
    inception: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Inception's TorchScript file, for FID.", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Report to write.")] = Path("report.html"),
    as_json: Json = False,
) -> None:
    """Score a model's samples, each figure beside what real images score."""
    check_file(out, (".html",))
    check_apart([out], data, test, inception)
    options = reading(size, gray, rgb, crop, pad)
    options |= {"text_column": text_column, "image_column": image_column, "data_dir": data_dir}
    if test is not None and test_share is not None:
        raise ValueError("--test and --test-share exclude each other; choose one.")
    if test_share is not None and not 0 < test_share < 1:
        raise ValueError(f"--test-share {test_share:g} must lie between 0 and 1.")
    if inception is not None:
        from ..evaluation.inception import inception_features

        inception_features(inception)  # what is wrong with it is said before any work
    log = Log()
    model = open_model(model_path, None, log)
    from . import evaluate as work

    options = own_size(model) | {name: value for name, value in options.items() if value is not None}
    train, held_out, where = work.read_pairs(data, test, test_share, seed, log, options)
    found = work.run(model, train, held_out, n, seed, log, refit=refit, inception=inception)
    with log.step("write", f"writing {out}"):
        found.save_html(out)
    record = {"model": str(model_path), "data": data, "held_out": where, "refitted": refit, "out": str(out)}
    text = work.describe(found, where, out, refit=refit)
    show(record | found.to_dict() | {"seconds": log.seconds}, text, as_json=as_json)
