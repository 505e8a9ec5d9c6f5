"""The command line: gpuopt compare, sweep, doctor, verify, run, inspect, warm and cache."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from gpuopt.command import VERSION, plain, version_line
from gpuopt.command import doctor as examine_machine
from gpuopt.command import run as run_script
from gpuopt.command import verify as verify_machine

if TYPE_CHECKING:
    import typer


EXTRAS = {"inspect": "inspect", "warm": "cpu", "cache": "cpu"}
"""The extra that a command needs, if not the demo's."""


def main() -> None:
    """Run the command line; if a library is missing, print how to install it."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["run"]:
        run_script(arguments[1:])  # let the script's exceptions propagate
        return
    try:
        code = plain(arguments)
        if code is not None:
            sys.stdout.flush()
            sys.exit(code)
        app = application()
    except ModuleNotFoundError as error:
        print(_needs(error.name, arguments[0] if arguments else ""), file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # `gpuopt doctor | head`; typer does the same
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - the flush at exit goes there
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    app(prog_name="gpuopt")


def _needs(missing: str | None, command: str) -> str:
    install = f"pip install 'gpuopt[{EXTRAS.get(command, 'demo')}]'"
    return (
        f"The gpuopt command needs {missing}: {install} "
        "(doctor, verify, run and --version do without)"
    )


def application() -> "typer.Typer":
    """Return the typer application; typer is imported here because it is optional."""
    import typer

    from gpuopt.demo.commands import compare, sweep
    from gpuopt.inspection.cases import VARIANTS

    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    def show_version(requested: bool) -> None:
        if requested:
            print(version_line())
            raise typer.Exit

    Version = typer.Option(
        *VERSION, callback=show_version, is_eager=True, help="Show the version and exit."
    )

    @app.callback()
    def options(version: Annotated[bool, Version] = False) -> None:
        """Fused optimizer steps: compare methods, inspect GPU code, check this machine."""

    app.command()(compare)
    app.command()(sweep)

    Rules = Annotated[str, typer.Option(help="Comma-separated rules, family:NAME, or all.")]
    Dtypes = Annotated[
        str,
        typer.Option(
            help="Comma-separated dtypes such as bfloat16 (bf16) or param:grad:state, or all."
        ),
    ]
    ARCHS = "Comma-separated architectures such as sm_90 (90), or all"
    Variants = Annotated[
        str,
        typer.Option(
            help=f"Comma-separated variants, or all; of these a rule has: {', '.join(VARIANTS)}."
        ),
    ]

    # argparse reads the options of these three, so that they run without typer, too.
    by_argparse = app.command(
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )

    @by_argparse
    def doctor(context: typer.Context) -> None:
        """Show what this machine can run: versions, devices, backends, and why."""
        raise typer.Exit(examine_machine(context.args))

    @by_argparse
    def verify(context: typer.Context) -> None:
        """Compare every usable backend with NumPy, bit for bit, in less than a minute."""
        raise typer.Exit(verify_machine(context.args))

    @by_argparse
    def run(context: typer.Context) -> None:
        """Run a script in which torch.optim's classes make gpuopt's drop-ins."""
        run_script(context.args)

    @app.command()
    def inspect(
        rule: Rules = "",
        dtype: Dtypes = "",
        arch: Annotated[str, typer.Option(help=f"{ARCHS}.")] = "",
        variant: Variants = "",
        backend: Annotated[
            str, typer.Option(help="Comma-separated backends: triton, cupy; or all.")
        ] = "triton",
        check: Annotated[
            bool, typer.Option("--check", help="Check the limits; exit code 1 if any is exceeded.")
        ] = False,
        sample: Annotated[
            bool, typer.Option("--sample", help="Check a tenth of the kernels: a minute.")
        ] = False,
        json: Annotated[
            Path | None, typer.Option(help="Write the facts to this JSON file; - for stdout.")
        ] = None,
        dump: Annotated[
            Path | None,
            typer.Option(help="Write source, PTX, cubin and a manifest to this folder."),
        ] = None,
        source: Annotated[
            str, typer.Option(help="Print the code that is compiled for this rule, and exit.")
        ] = "",
    ) -> None:
        """Compile the GPU code, without a GPU, and report the cost per element.

        The report has bytes, instructions, registers, exactness, and the bottleneck on each GPU.
        Without options: Adam, float32, sm_90. With `--check`: every rule in float32, bfloat16
        (with float32 states) and float64, on every architecture.
        """
        from gpuopt.inspection.command import Request
        from gpuopt.inspection.command import inspect as examine

        texts = ((rule,), (dtype,), (arch,), (variant,), (backend,))
        request = Request(*texts, check=check, sample=sample, json=json, dump=dump, source=source)
        raise typer.Exit(examine(request))

    @app.command()
    def warm(
        rule: Rules,
        arch: Annotated[str, typer.Option(help=f"{ARCHS}.", show_default="this machine's")] = "",
        dtype: Dtypes = "float32",
        variant: Variants = "",
        backend: Annotated[
            str,
            typer.Option(
                help="Comma-separated backends: llvm, triton, cupy; or all.",
                show_default="llvm, and triton for a GPU",
            ),
        ] = "",
    ) -> None:
        """Compile ahead of time, so that the first step starts at once.

        Fills gpuopt's cache (GPUOPT_CACHE_DIR) for this processor and for CuPy, and Triton's
        (TRITON_CACHE_DIR), for any architecture; no GPU is needed.
        """
        from gpuopt.inspection.warm import warm as compile_ahead

        raise typer.Exit(compile_ahead(rule, dtype, arch, variant, backend))

    @app.command()
    def cache(
        action: Annotated[str, typer.Argument(help="clear, to delete all entries.")] = "",
    ) -> None:
        """Show where compiled kernels are kept on disk, and how large they are; or clear them."""
        from gpuopt.inspection.kept import cache as examine_cache

        raise typer.Exit(examine_cache(action))

    return app
