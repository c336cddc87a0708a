"""Sphinx configuration: `make docs` builds docs/_build/html, and warnings are errors."""

from __future__ import annotations

import ganart_zoo

project = "ganart-zoo"
author = "The ganart-zoo authors"
copyright = "2026, the ganart-zoo authors"  # noqa: A001
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
