"""In a checkout, gpuopt.kernels lies beside gpuopt/: imported from there without an installation.

The folder above does not go into the package's ``__path__``: everything in it, gpuopt/ included,
would become a part of the package, and whoever walks through that would import it a second time.
"""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

HERE = Path(__file__).parent


def _import_part(package: str, part: str) -> None:
    """Import the folder of a part as ``package.part``, unless the package has it itself."""
    name, folder = f"{package}.{part}", HERE.parent / part
    if name in sys.modules or (HERE / part).is_dir() or not folder.is_dir():
        return
    spec = spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None  # of an ordinary file
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    setattr(sys.modules[package], part, module)


_import_part(__name__.rpartition(".")[0], "kernels")
