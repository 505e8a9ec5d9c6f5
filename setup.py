"""The long description: README.md with absolute links, which work outside the repository, too."""

import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
HOME = "https://github.com/gpuopt/gpuopt"
PICTURES = "https://raw.githubusercontent.com/gpuopt/gpuopt"


def absolute(text: str, release: str) -> str:
    """Return Markdown whose relative links lead to a release's files, and whose pictures show.

    >>> absolute("![speed](docs/speed.png), [more](docs/more.md#speed), [here](#here)", "v1")
    '![speed](https://raw.githubusercontent.com/gpuopt/gpuopt/v1/docs/speed.png), \
[more](https://github.com/gpuopt/gpuopt/blob/v1/docs/more.md#speed), [here](#here)'
    """
    relative = r"\]\((?![a-z]+:|#)"
    text = re.sub(rf"(!\[[^]]*{relative})", rf"\g<1>{PICTURES}/{release}/", text)
    return re.sub(relative, f"]({HOME}/blob/{release}/", text)


if __name__ == "__main__":
    project = (HERE / "pyproject.toml").read_text(encoding="utf-8")
    (version,) = re.findall(r'^version = "(.*)"$', project, re.MULTILINE)
    readme = (HERE / "README.md").read_text(encoding="utf-8")
    setup(
        long_description=absolute(readme, f"v{version}"),
        long_description_content_type="text/markdown",
    )
