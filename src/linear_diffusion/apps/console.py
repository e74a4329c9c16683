"""What every command shares: one line an error, a bar while work runs, outputs checked before it starts.

Exit codes: 0 done, 1 something unexpected, 2 wrong input, 130 Ctrl-C.
"""

import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from ..exceptions import LinearDiffusionError

DEBUG = "LINEAR_DIFFUSION_DEBUG"
"""Environment variable: with it, something unexpected shows its traceback."""


class Commands(TyperGroup):
    """A group of commands that reports an error as one line on stderr."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command and leave with its exit code."""
        kwargs["standalone_mode"] = False
        run = super().main
        sys.exit(exit_code(lambda: run(*args, **kwargs)))


def exit_code(run: Callable[[], Any]) -> int:
    """Run a command; report what goes wrong, and return the exit code."""
    try:
        code = run()
        return code if isinstance(code, int) else 0  # typer's Exit comes back as its code
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except OSError as error:
        return _fail(_name_file(error), 2)
    except (LinearDiffusionError, ValueError) as error:
        return _fail(str(error), 2)
    except Exception as error:
        if hasattr(error, "format_message"):  # a usage error of typer, whose class has moved between versions
            where = getattr(getattr(error, "ctx", None), "command_path", "linear-diffusion")
            return _fail(f"{error.format_message().rstrip('.')}. See: {where} --help", 2)
        if os.environ.get(DEBUG):
            raise
        return _fail(f"unexpected {type(error).__name__}: {error} (with {DEBUG}=1 it shows where)", 1)


def _name_file(error: OSError) -> str:
    """What is wrong with which file; for a file that was being written aside, with its folder."""
    if not (error.filename and error.strerror):
        return str(error)
    path = Path(os.fsdecode(error.filename))
    aside = next((p for p in (path, *path.parents) if p.name.startswith(".writing-")), None)
    return f"{aside.parent if aside else path}: {error.strerror}."


def _fail(message: str, code: int) -> int:
    typer.echo("error: " + " ".join(message.split()), err=True)
    return code


class Log:
    """Steps of a command: a spinner or bar on stderr while each runs (on a terminal), and its time.

    Parameters
    ----------
    echo : bool
        Whether a line is printed for each finished step.
    """

    def __init__(self, *, echo: bool = False) -> None:
        self.echo = echo
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str, doing: str) -> Iterator[list[str]]:
        """Time a step; what is put into the list that it yields is the line printed after it."""
        done: list[str] = []
        start = time.perf_counter()
        with _spinner(doing):
            yield done
        self.seconds[name] = round(time.perf_counter() - start, 3)
        if self.echo:
            typer.echo(f"{self.seconds[name]:8.2f} s  {' '.join(done or [doing])}")

    @contextmanager
    def bar(self, name: str, doing: str) -> Iterator[Callable[[int, int], None]]:
        """Time a step that counts; it yields what takes ``(done, total)``."""
        start = time.perf_counter()
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress

            with Progress(console=Console(stderr=True), transient=True) as progress:
                task = progress.add_task(doing, total=None)
                yield lambda done, total: progress.update(task, completed=done, total=total)
        else:
            yield lambda done, total: None
        self.seconds[name] = round(time.perf_counter() - start, 3)


@contextmanager
def _spinner(doing: str) -> Iterator[None]:
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(doing):
        yield


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Warnings as one line on stderr, without where in the code they arose."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: typer.echo(f"warning: {message}", err=True)
        yield


def show(record: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print what a command did: a JSON object for machines, text for people."""
    typer.echo(json.dumps(record, ensure_ascii=False) if as_json else text)


def table(rows: dict[str, str]) -> None:
    """Print names and values in two columns, wrapped to the terminal or to 80 characters."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    lines = Table.grid(padding=(0, 2))
    lines.add_column(no_wrap=True)
    lines.add_column(overflow="fold")
    for name, value in rows.items():
        lines.add_row(Text(name, style="bold"), Text(value))
    Console(highlight=False).print(lines)


def check_file(path: Path, suffixes: Sequence[str]) -> None:
    """Whether a picture or an array can be written to a path.

    Raises
    ------
    ValueError
        If its ending is none of the suffixes, it is a folder, or its folder cannot be written to.
    """
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"-o {path} ends in none of {', '.join(suffixes)}, which this command writes.")
    if path.is_dir():
        raise ValueError(f"-o {path} is a folder; give the name of a file.")
    _check_parent(path)


def check_folder(folder: Path) -> None:
    """Whether a folder can be made, or written to where it exists."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; give the name of a folder.")
    _check_parent(folder / "file")


def check_model_folder(folder: Path) -> None:
    """Whether a model can be written to a folder: a new one, an empty one, or a model to replace."""
    check_folder(folder)
    if folder.exists() and any(folder.iterdir()) and not _is_model(folder):
        raise ValueError(f"{folder} exists and is not a model; it is left as it is, choose another name.")


def _is_model(folder: Path) -> bool:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "linear_diffusion" in config


def _check_parent(path: Path) -> None:
    """The nearest folder above a path that exists must be one that can be written to."""
    parent = next(p for p in path.absolute().parents if p.exists())
    if not parent.is_dir():
        raise ValueError(f"{path} cannot be written: {parent} is a file.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ValueError(f"{path} cannot be written: no permission to write to {parent}.")
