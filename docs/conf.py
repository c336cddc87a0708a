"""Sphinx configuration: `make docs` builds docs/_build/html, and warnings are errors."""

from __future__ import annotations

import re

from sphinx.application import Sphinx

import ganart_zoo

project = "ganart-zoo"
author = "The ganart-zoo authors"
copyright = "2026, the ganart-zoo authors"
release = version = ganart_zoo.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "sphinx_click"]
html_theme = "furo"
html_title = f"ganart-zoo {release}"
exclude_patterns = ["_build"]
myst_heading_anchors = 3
default_role = "code"  # docstrings use single backticks, as Markdown does
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_use_rtype = False


def docstring_to_rst(_app: object, _what: str, _name: str, _obj: object, _options: object, lines: list[str]) -> None:
    """Docstrings are written for readers of code, as Markdown: `code` in single backticks, and indented code blocks."""
    text = re.sub(r"(?<!`)`([^`]+)`(?!`)(?=(\w)?)", lambda m: f"``{m[1]}``" + ("\\ " if m[2] else ""), "\n".join(lines))
    found: list[str] = []
    depth = 0  # indentation of the last paragraph
    for line in text.split("\n"):
        indent = len(line) - len(line.lstrip())
        if line.strip():
            starts_block = found and not found[-1].strip() and indent > depth
            if starts_block and not line.lstrip().startswith(">>>"):
                found += [" " * depth + "::", ""]
            if not starts_block:
                depth = indent
        found.append(line)
    lines[:] = found


def setup(app: Sphinx) -> None:
    """Register the conversion, before napoleon reads the sections."""
    app.connect("autodoc-process-docstring", docstring_to_rst, priority=400)
