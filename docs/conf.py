"""Sphinx, for ``make docs``."""

from vpoller_like import __version__

project = "vpoller-like"
author = "the vpoller-like authors"
version = release = __version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.viewcode"]
# What is in "performance" is included by the page of that name.
exclude_patterns = ["_build", "performance"]
html_theme = "furo"
html_title = f"vpoller-like {release}"
autodoc_typehints = "description"
nitpicky = False
