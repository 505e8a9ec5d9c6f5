"""The command line: gpuopt compare, sweep, doctor, inspect and warm."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from gpuopt.command import VERSION, plain, version_line
from gpuopt.command import doctor as examine_machine

if TYPE_CHECKING:
    import typer


EXTRAS = {"inspect": "inspect", "warm": "triton"}
"""The extra that brings what a command needs, where it is not the demo's."""


def main() -> None:
    """Run the command line; without what it is written with, say what to install."""
    arguments = sys.argv[1:]
    try:
        code = plain(arguments)
        if code is not None:
            sys.stdout.flush()
            sys.exit(code)
        app = application()
    except ModuleNotFoundError as error:
        print(_needs(error.name, arguments[0] if arguments else ""), file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # as `gpuopt doctor | head`; typer does the same
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - what is left is flushed at exit
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    app(prog_name="gpuopt")


def _needs(missing: str | None, command: str) -> str:
    install = f"pip install 'gpuopt[{EXTRAS.get(command, 'demo')}]'"
    return f"The gpuopt command needs {missing}: {install} (doctor and --version do without)"


def application() -> "typer.Typer":
    """Put the commands together; typer is imported here, so that gpuopt can do without it."""
    import typer

    from gpuopt.demo.commands import compare, sweep

    app = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    def show_version(asked: bool) -> None:
        if asked:
            print(version_line())
            raise typer.Exit

    Version = typer.Option(
        *VERSION, callback=show_version, is_eager=True, help="Print the version, and end."
    )

    @app.callback()
    def options(version: Annotated[bool, Version] = False) -> None:
        """Fused optimizer steps: compare methods, and see what this machine can run."""

    app.command()(compare)
    app.command()(sweep)

    Rules = Annotated[str, typer.Option(help="Rules, with commas between them, or all.")]
    Dtypes = Annotated[
        str,
        typer.Option(
            help="Dtypes such as bfloat16 (or bf16), or param:grad:state, with commas, or all."
        ),
    ]
    ARCHS = "Architectures such as sm_90 (or 90), with commas between them, or all"
    Variants = Annotated[
        str,
        typer.Option(
            help="plain, decay, scale, scale_decay, misaligned, or with a tail: clip_ema, master, "
            "rounding, kahan, zero_grads, stats, whole, measure; with commas, or all."
        ),
    ]

    # Its options are read without typer, which it does not need.
    @app.command(
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )
    def doctor(context: typer.Context) -> None:
        """Say what this machine can run: versions, devices, backends and their reasons."""
        raise typer.Exit(examine_machine(context.args))

    @app.command()
    def inspect(
        rule: Rules = "",
        dtype: Dtypes = "",
        arch: Annotated[str, typer.Option(help=f"{ARCHS}.")] = "",
        variant: Variants = "",
        backend: Annotated[
            str, typer.Option(help="Whose code: triton, cupy, both with a comma, or all.")
        ] = "triton",
        check: Annotated[
            bool, typer.Option("--check", help="Hold the gate; exit code 1 if anything fails.")
        ] = False,
        json: Annotated[
            Path | None, typer.Option(help="A file for the facts; - prints them as JSON.")
        ] = None,
        dump: Annotated[
            Path | None, typer.Option(help="A folder for source, PTX, cubin and a manifest.")
        ] = None,
        source: Annotated[
            str, typer.Option(help="A rule: print the code that is compiled for it, and end.")
        ] = "",
    ) -> None:
        """Compile the GPU code, without a GPU, and say what an element costs.

        Bytes, instructions, registers, exactness, and what limits it on which GPU. Without
        options: Adam, float32, sm_90. With `--check`: every rule, and float32, bfloat16 (with
        float32 states) and float64 on every architecture.
        """
        from gpuopt.inspection.command import Request
        from gpuopt.inspection.command import inspect as examine

        texts = ((rule,), (dtype,), (arch,), (variant,), (backend,))
        request = Request(*texts, check=check, json=json, dump=dump, source=source)
        raise typer.Exit(examine(request))

    @app.command()
    def warm(
        rule: Rules,
        arch: Annotated[str, typer.Option(help=f"{ARCHS}. [default: here]")] = "",
        dtype: Dtypes = "float32",
        variant: Variants = "",
        backend: Annotated[str, typer.Option(help="triton, cupy, or all.")] = "triton",
    ) -> None:
        """Compile ahead of time, so that the first step on a GPU need not wait.

        It fills the caches of Triton (TRITON_CACHE_DIR) and CuPy (CUPY_CACHE_DIR), for an
        architecture that need not be here.
        """
        from gpuopt.inspection.warm import warm as compile_ahead

        raise typer.Exit(compile_ahead(rule, dtype, arch, variant, backend))

    return app
