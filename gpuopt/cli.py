"""The command line: gpuopt compare, sweep and doctor."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

if TYPE_CHECKING:
    import typer


def main() -> None:
    """Run the command line; without what it is written with, say what to install."""
    try:
        app = application()
    except ModuleNotFoundError as error:
        print(f"The gpuopt command needs {error.name}: pip install 'gpuopt[demo]'", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    app(prog_name="gpuopt")


def application() -> "typer.Typer":
    """Put the commands together; typer is imported here, so that gpuopt can do without it."""
    import typer

    from gpuopt.demo.commands import compare, sweep

    app = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
    )
    app.command()(compare)
    app.command()(sweep)

    @app.command()
    def doctor(
        json: Annotated[
            Path | None, typer.Option(help="A file for the report; - prints it as JSON.")
        ] = None,
        require: Annotated[
            str, typer.Option(help="Backends, with commas between them, that must be usable.")
        ] = "",
    ) -> None:
        """Say what this machine can run: versions, devices, backends and their reasons."""
        from gpuopt.doctor import doctor as examine

        raise typer.Exit(examine([require], json))

    return app
