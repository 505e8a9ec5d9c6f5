"""Writes the pages that are generated: ``python -m gpuopt_docs.generate FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from . import optimizers, pictures


def write_pages(folder: Path) -> None:
    """Write all generated pages, without pictures."""
    optimizers.write_pages(folder / "optimizers")


def write_all(folder: Path) -> None:
    """Write all generated pages and their pictures."""
    write_pages(folder)
    pictures.draw_all(folder / "optimizers" / "pictures")


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
