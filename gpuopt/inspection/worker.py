"""Subprocess that compiles cases.

It reads a JSON request per line from standard input, writes the case's cache entry, and answers
with a line: an empty object, or the error. A case may abort the process, as LLVM does for an
unknown architecture.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ..system.worker import private_output
from .backends import BACKENDS
from .cache import write_entry
from .cases import Case
from .facts import facts_of


def main() -> None:
    """Answer requests until the input ends."""
    with private_output() as answers:
        for line in sys.stdin:
            request = json.loads(line)
            answer = _answer(Case.from_json(request["case"]), Path(request["entry"]))
            print(json.dumps(answer), file=answers, flush=True)


def _answer(case: Case, entry: Path) -> dict[str, str]:
    try:
        code = BACKENDS[case.backend].load().compile_case(case)
        write_entry(entry, facts_of(case, code), code)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {}


if __name__ == "__main__":
    main()
