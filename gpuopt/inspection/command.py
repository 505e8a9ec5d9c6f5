"""`gpuopt inspect`: parse the options, compile, and report."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from ..arrays import FLOATS
from ..rules.registry import RULES
from . import report
from .backends import BACKENDS
from .cases import ARCHS, DTYPES, VARIANTS, Case, cases_for, dtypes_of
from .compile import compile_cases
from .dump import dump
from .scopes import SAMPLE, SCOPES, scope_cases
from .source import text_of
from .spelling import FAMILY, arch_of, arch_text, expanded, families

_T = TypeVar("_T")

ALL = "all"
FORMS = f"{', '.join(FLOATS)}, param:grad:state"
STANDARD_OUTPUT = Path("-")


class BadOptionError(ValueError):
    """An invalid option; the message names it and the accepted values."""


@dataclass(frozen=True)
class Request:
    """The command-line options; each tuple holds comma-separated names.

    Attributes:
        rules: names of rules, or ``all``.
        dtypes: as `dtypes_of` reads them, or ``all``.
        archs: such as ``sm_90``, or ``all``.
        variants: of each rule, or ``all``; empty for the rule's default.
        backends: names of backends, or ``all``.
        check: whether to check the limits.
        sample: whether to check a sample of the cases.
        json: a file for the facts as JSON; ``-`` for standard output.
        dump: a folder for the code.
        source: a rule whose source is printed, without compiling.
    """

    rules: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    archs: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    backends: tuple[str, ...] = ("triton",)
    check: bool = False
    sample: bool = False
    json: Path | None = None
    dump: Path | None = None
    source: str = ""


def inspect(request: Request) -> int:
    """Run `gpuopt inspect`.

    Returns:
        0 on success, 1 if a kernel does not compile or exceeds a limit, 2 for invalid options.
    """
    try:
        if request.source:
            print("\n".join(map(text_of, sources_of(request))), end="")
            return 0
        cases = cases_of(request)
        _prepare(request)
    except BadOptionError as error:
        print(f"gpuopt inspect: {error}", file=sys.stderr)
        return 2
    results = compile_cases(cases, _progress if sys.stderr.isatty() else _silence)
    if request.dump is not None:
        made = [result.case for result in results if result.facts is not None]
        try:
            print(f"wrote {dump(made, request.dump)}", file=sys.stderr)
        except (OSError, ValueError) as error:
            print(f"gpuopt inspect: --dump: {error}", file=sys.stderr)
            return 1
    if request.json is not None:
        _write(json.dumps(report.data_of(results), indent=2) + "\n", request.json)
    if request.json != STANDARD_OUTPUT:
        (report.show_check if request.check else report.show)(results)
    if request.check:
        return 1 if report.failures(results) else 0
    return 0 if all(result.facts is not None for result in results) else 1


def cases_of(request: Request) -> list[Case]:
    """Return the cases to compile.

    Raises:
        BadOptionError: an option is invalid.
    """
    backends = _backends(request)
    rules = _rules(request.rules)
    variants = _names("--variant", request.variants, VARIANTS)
    archs = _chosen("--arch", request.archs, ARCHS, _arch, ", ".join(map(arch_text, ARCHS)))
    dtypes = _chosen(
        "--dtype", request.dtypes, [dtypes_of(one) for one in DTYPES], dtypes_of, FORMS
    )
    if request.sample and (not request.check or variants or archs or dtypes):
        raise BadOptionError("--sample: only for --check without --variant, --arch and --dtype")
    if request.check and not (variants or archs or dtypes):
        scopes, of_rules = SAMPLE if request.sample else SCOPES, rules or list(RULES)
        return [case for name in backends for case in scope_cases(name, of_rules, scopes)]
    dtypes = dtypes or [dtypes_of(one) for one in (DTYPES if request.check else DTYPES[:1])]
    archs = archs or (list(ARCHS) if request.check else [90])
    rules = rules or (list(RULES) if request.check else ["adam"])
    cases = [c for name in backends for c in cases_for(name, rules, variants, dtypes, archs)]
    if request.dump is not None:
        steps = [case for case in cases if case.kernel == "update" and not case.measures]
        cases += [case.coefficients for case in steps]
    if not cases:
        got, of = ", ".join(variants), ", ".join(rules)
        raise BadOptionError(f"--variant: got {got}, which none of these rules has: {of}")
    return list(dict.fromkeys(cases))


def sources_of(request: Request) -> list[Case]:
    """Return the cases whose source is printed.

    Raises:
        BadOptionError: an option is invalid.
    """
    plain = replace(request, rules=(request.source,), source="")
    others = {"--rule": any(request.rules), "--check": request.check}
    others |= {"--json": request.json is not None, "--dump": request.dump is not None}
    if any(others.values()):
        given = ", ".join(option for option, is_given in others.items() if is_given)
        raise BadOptionError(f"--source only prints code; it cannot be combined with {given}")
    if request.source not in RULES:
        accepted = ", ".join(RULES)
        raise BadOptionError(f"--source: got {request.source!r}, expected one of {accepted}")
    return cases_of(replace(plain, archs=request.archs or ("90",)))


def _backends(request: Request) -> list[str]:
    return _names("--backend", request.backends, tuple(BACKENDS))


def _chosen(
    option: str,
    texts: Sequence[str],
    known: Sequence[_T],
    read: Callable[[str], _T],
    takes: str,
    of_families: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> list[_T]:
    """Return the values that an option names; all known ones for ``all``."""
    names = [part.strip() for text in texts for part in text.split(",") if part.strip()]
    if ALL in names:
        return list(known)
    if any(texts) and not names:
        raise BadOptionError(f"{option}: no name in {', '.join(texts)!r}, expected {takes}, {ALL}")
    chosen = []
    for name in expanded(names, of_families):
        try:
            chosen.append(read(name))
        except ValueError:
            text = f"{option}: got {name!r}, expected one of {takes}, {ALL}"
            raise BadOptionError(text) from None
    return list(dict.fromkeys(chosen))


def _names(option: str, texts: Sequence[str], known: Sequence[str]) -> list[str]:
    return _chosen(option, texts, known, lambda name: known[known.index(name)], ", ".join(known))


def _rules(texts: Sequence[str]) -> list[str]:
    """Return the rules that are named, or are of a family that is."""
    known = families(RULES)
    names, takes = list(RULES), ", ".join((*RULES, *(f"{FAMILY}{name}" for name in known)))
    return _chosen("--rule", texts, names, lambda name: names[names.index(name)], takes, known)


def _arch(name: str) -> int:
    return arch_of(name, ARCHS)


def _prepare(request: Request) -> None:
    """Check output paths and compilers before compiling, which may take minutes."""
    for option, path in (("--json", request.json), ("--dump", request.dump)):
        if path is None or path == STANDARD_OUTPUT:
            continue
        try:
            if option == "--dump":
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.open("ab").close()
        except OSError as error:
            raise BadOptionError(f"{option}: cannot write {path}: {error.strerror}") from None
    for compiler in (BACKENDS[name] for name in _backends(request)):
        if compiler.version() is None:
            raise BadOptionError(f"{compiler.package} is not installed: {compiler.install}")


def _write(text: str, path: Path) -> None:
    if path == STANDARD_OUTPUT:
        sys.stdout.write(text)
    else:
        path.write_text(text)


def _progress(done: int, total: int) -> None:
    """Show progress on one line of the terminal; clear it at the end."""
    text = f"compiled {done} of {total}"
    print(f"\r{text if done < total else ' ' * len(text)}\r", end="", file=sys.stderr, flush=True)


def _silence(done: int, total: int) -> None:
    pass
