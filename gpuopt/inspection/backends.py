"""The compilers, and the files that their results depend on."""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType

from .. import kernels
from ..kernels.cuda import source as cuda_c

_FOLDER = Path(__file__).parent
_KERNELS = Path(str(kernels.__file__)).parent
_RULE_FILES = sorted(_FOLDER.glob("../rules/*.py"))
_COMPOSED = (
    "advance.py",
    "compose.py",
    "low_precision.py",
    "measure.py",
    "read_only_update.py",
    "sums.py",
    "tail.py",
    "update.py",
    "update_calls.py",
    "update_coefficients.py",
)
_RULES = (
    *(f"../engine/{name}" for name in _COMPOSED),
    *(f"../rules/{f.name}" for f in _RULE_FILES),
)
_READERS = (
    *("arguments.py", "cases.py", "code.py", "facts.py", "flow.py", "ptx.py", "sass.py"),
    "sectors.py",
)


@dataclass(frozen=True)
class Compiler:
    """A backend whose code can be inspected.

    Attributes:
        name: of the backend.
        module: of this package; its ``compile_case`` compiles a `Case` to `Code`.
        package: the compiler's distribution.
        sources: files of the kernels.
        install: how to install the package.
        suffix: of a file with the source.
    """

    name: str
    module: str
    package: str
    sources: tuple[str, ...]
    install: str
    suffix: str

    def load(self) -> ModuleType:
        """Import the module."""
        return importlib.import_module(self.module)

    def version(self) -> str | None:
        """Return the version of the compiler, or None if it is not installed."""
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return None

    @property
    def release(self) -> str:
        """The compiler with its version."""
        return f"{self.package} {self.version()}"


BACKENDS = {
    compiler.name: compiler
    for compiler in (
        Compiler(
            "triton",
            "gpuopt.inspection.triton_code",
            "triton",
            (
                "roundings.py",
                "storage.py",
                "table.py",
                "trace/retarget.py",
                "triton/blocks.py",
                "triton/constants.py",
                "triton/interpreted.py",
                "triton/kernels.py",
                "triton/maths.py",
                "triton/memory.py",
                "triton/source.py",
                "triton/sums.py",
            ),
            "pip install 'gpuopt[triton]' (for Linux)",
            ".py",
        ),
        Compiler(
            "cupy",
            "gpuopt.inspection.cuda_code",
            "nvidia-cuda-nvrtc",
            (
                "cuda/source.py",
                *(f"cuda/{name}" for name in cuda_c.DRIVER),
                "roundings.py",
                "storage.py",
                "table.py",
                "trace/c.py",
                "trace/coefficients.py",
                "trace/operations.py",
                "trace/retarget.py",
            ),
            "pip install 'gpuopt[inspect]' (for Linux)",
            ".cu",
        ),
    )
}


@cache
def fingerprint(backend: str) -> str:
    """Return a hash of everything that can change the facts of a backend's cases."""
    compiler = BACKENDS[backend]
    module = f"{compiler.module.rpartition('.')[2]}.py"
    files = [_KERNELS / name for name in compiler.sources]
    files += [_FOLDER / name for name in (*_RULES, *_READERS, module)]
    digest = hashlib.sha256(f"{compiler.package} {compiler.version()}".encode())
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
