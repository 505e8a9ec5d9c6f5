"""Command lines with typer, whose options may take several values: ``--model gpt2 resnet50``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, TypeVar

try:
    import typer
    from typer import BadParameter, Context, Exit
    from typer.core import TyperCommand, TyperGroup
except ImportError as error:
    raise ModuleNotFoundError(f"the benchmarks need typer: pip install typer ({error})") from None

__all__ = [
    "BadParameter",
    "Context",
    "Exit",
    "File",
    "checked",
    "group",
    "names",
    "option",
    "run",
    "single",
    "texts",
]

_T = TypeVar("_T")


def spread(arguments: Sequence[str], options: Collection[str]) -> Iterator[str]:
    """Yield arguments with the option repeated before each of its values.

    >>> list(spread(["--model", "gpt2", "tiny500", "--rounds", "3"], ["--model"]))
    ['--model', 'gpt2', '--model', 'tiny500', '--rounds', '3']
    """
    option, values = "", 0
    for text in arguments:
        if text.startswith("-"):
            option, values = text if text in options else "", 0
        elif option:
            values += 1
            if values > 1:
                yield option
        yield text


class _Spread(TyperCommand):
    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(spread(args, _of_several(self))))


class _SpreadGroup(TyperGroup):
    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(spread(args, _of_several(self))))


def _of_several(command: TyperCommand | TyperGroup) -> set[str]:
    params = [param for param in command.params if getattr(param, "multiple", False)]
    return {name for param in params for name in param.opts}


def group(measure: Callable[..., None], **commands: Callable[..., None]) -> typer.Typer:
    """Return an application that measures by default, and has further commands."""
    app = _application()
    app.callback(cls=_SpreadGroup, invoke_without_command=True)(measure)
    for name, command in commands.items():
        app.command(name, cls=_Spread)(command)
    return app


def single(command: Callable[..., None], text: str | None = None) -> typer.Typer:
    """Return an application of one command, with a text for its help other than the docstring."""
    app = _application()
    app.command(cls=_Spread, help=text)(command)
    return app


def _application() -> typer.Typer:
    return typer.Typer(
        add_completion=False,  # `python -m` has no name to complete
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def run(app: typer.Typer, module: str, arguments: Sequence[str] | None) -> int:
    """Run the command line of a module, and return the exit code: 2 for wrong arguments."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app(args=given, prog_name=f"python -m {module}", obj=given)
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def names(known: Iterable[str]) -> Any:
    """Return the type of an option that takes one of several names."""
    return Enum("names", {name: name for name in known})


def texts(chosen: Iterable[Any] | None) -> list[str]:
    """Return the distinct names that were passed to an option."""
    return list(dict.fromkeys(one.value for one in chosen or ()))


def checked(read: Callable[[str], _T]) -> Callable[[Any], _T]:
    """Return a parser for an option, which reports ValueErrors as errors of the option."""

    def parse(given: Any) -> _T:
        if not isinstance(given, str):  # the default
            return given
        try:
            return read(given)
        except ValueError as error:
            raise BadParameter(str(error)) from None

    return parse


def option(*declared: str, help: str = "", metavar: str | None = None, **more: Any) -> Any:
    """Return an option whose help shows the default, if it has one."""
    return typer.Option(*declared, help=help, metavar=metavar, show_default=False, **more)


File = Annotated[Path | None, option(metavar="FILE")]
