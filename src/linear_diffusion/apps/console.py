"""What every command shares: one line for an error, a bar while work runs.

Exit codes: 0 done, 1 something unexpected, 2 wrong input, 130 Ctrl-C.
"""

import io
import json
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from ..exceptions import LinearDiffusionError
from ..utils.progress import listening
from .messages import in_options, speak_for

DEBUG = "LINEAR_DIFFUSION_DEBUG"
"""Environment variable: with it, something unexpected shows its traceback."""

_DONE_OF = re.compile(r"([\d,]+) of ([\d,]+)(?!.* of \d)")
"""How work says how far it is, for a bar."""


class Commands(TyperGroup):
    """A group of commands that reports an error as one line on stderr."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command and leave with its exit code."""
        kwargs["standalone_mode"] = False
        run = super().main
        _open_streams()
        sys.exit(exit_code(lambda: run(*args, **kwargs)))

    def resolve_command(self, *args: Any) -> Any:
        """Find the command, whose options messages will name."""
        found = super().resolve_command(*args)
        speak_for(found[1].params if found[1] else ())
        return found


def _open_streams() -> None:
    """What a console cannot show is written as an escape, and a closed stream is no reason to fail."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115, for as long as we run
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def exit_code(run: Callable[[], Any]) -> int:
    """Run a command; report what goes wrong, and return the exit code."""
    try:
        with _plain_warnings():
            code = run()
        return code if isinstance(code, int) else 0  # typer's Exit comes back as its code
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except OSError as error:
        return _fail(_name_file(error), 2)
    except (LinearDiffusionError, ValueError) as error:
        return _fail(in_options(str(error)), 2)
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
        with _spinner(doing), _named(doing):
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
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        progress.add_task(doing, total=None)
        (task,) = progress.tasks

        def follow(text: str) -> None:
            found = _DONE_OF.search(text)
            done, task.total = (int(n.replace(",", "")) for n in found.groups()) if found else (0, None)
            progress.update(task.id, description=f"{doing}: {text}", completed=done)

        with listening(follow):
            yield


@contextmanager
def _named(doing: str) -> Iterator[None]:
    """Say what was being done where the system does not say with which file, as of a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, doing) from error


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Warnings as one line on stderr, without where in the code they arose."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: note(f"warning: {message}")
        yield


def note(text: str) -> None:
    """Say on stderr what one should know of the data before work starts."""
    typer.echo(in_options(" ".join(text.split())), err=True)


def show(record: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print what a command did: a JSON object for machines, text for people."""
    typer.echo(json.dumps(record) if as_json else text)


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
