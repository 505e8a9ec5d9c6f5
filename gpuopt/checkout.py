"""Import gpuopt.kernels from a checkout, where kernels/ is a sibling of gpuopt/.

The parent folder is not added to the package's ``__path__``: everything in it, gpuopt/ included,
would become part of the package, and walking the package would import it a second time.
"""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

HERE = Path(__file__).parent


def _import_part(package: str, part: str) -> None:
    """Import the sibling folder as ``package.part``, unless the package contains it."""
    name, folder = f"{package}.{part}", HERE.parent / part
    if name in sys.modules or (HERE / part).is_dir() or not folder.is_dir():
        return
    spec = spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    setattr(sys.modules[package], part, module)


_import_part(__name__.rpartition(".")[0], "kernels")
