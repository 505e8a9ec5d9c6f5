"""The pages' settings: ``make docs`` builds them into build/docs, without a network."""

import re
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]  # gpuopt_docs; gpuopt and benchmarks

import gpuopt  # noqa: E402
from gpuopt_docs.generate import write_all  # noqa: E402

project = "gpuopt"
root_doc = "index"
author = "The gpuopt authors"
copyright = author
version = release = gpuopt.__version__

extensions = [
    "gpuopt_docs.documented",
    "gpuopt_docs.mathml",
    "gpuopt_docs.offline",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["gpuopt_docs", "benchmarks"]
default_role = "py:obj"
nitpicky = False  # docstrings refer to objects without pages

myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say what is accepted
autodoc_inherit_docstrings = False
napoleon_use_rtype = False

html_math_renderer = "mathml"
html_theme = "furo"
html_title = f"gpuopt {version}"
html_static_path = ["static"]
html_css_files = ["pages.css"]
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072b2", "color-brand-content": "#0072b2"},
    "dark_css_variables": {"color-brand-primary": "#56b4e9", "color-brand-content": "#56b4e9"},
}
pygments_style = "friendly"
pygments_dark_style = "github-dark"


def setup(app):
    """Write what is generated before the pages are read, and see to what others wrote."""
    app.connect("builder-inited", lambda app: write_all(DOCS))
    app.connect("source-read", with_classes)
    app.connect("autodoc-process-docstring", without_references)
    app.connect("autodoc-process-docstring", without_types, priority=400)  # before napoleon


def with_classes(app, name, source):
    """Mark measured tables, and the lines below them, for the style sheet."""

    def marked(found):
        lines = re.sub(r"^(?=\*)", "{.caption}\n", found[2], flags=re.MULTILINE)
        return f"{found[1]}\n{{.numbers}}\n{lines}"

    table = r"(<!-- table: .*\n)((?:.*\n)*?)(?=<!-- end of table)"
    source[0] = re.sub(table, marked, source[0])


def without_references(app, kind, name, thing, options, lines):
    """Escape names that end in an underscore, which would be references."""
    for i, line in enumerate(lines):
        parts = re.split(r"(`+[^`]*`+)", line)
        parts[::2] = [re.sub(r"(\w)_(?!\w)", r"\1\\_", part) for part in parts[::2]]
        lines[i] = "".join(parts)


def without_types(app, kind, name, thing, options, lines):
    """Keep what a property's docstring has in front of a colon from being read as a type."""
    if kind == "property":
        lines[0] = lines[0].replace(": ", " \N{EN DASH} ", 1)
