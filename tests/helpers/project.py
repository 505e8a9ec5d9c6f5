"""What pyproject.toml says."""

from pathlib import Path

try:
    import tomllib
except ImportError:  # before Python 3.11; pytest brings it there
    import tomli as tomllib

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
GROUPS = PROJECT["dependency-groups"]


def requirements(group):
    """Yield the requirements of a dependency group, those of the groups in it included."""
    for item in GROUPS[group]:
        if isinstance(item, str):
            yield item
        else:
            yield from requirements(item["include-group"])
