"""Sphinx: python -m sphinx -W -b html docs build/docs (needs the extra [docs])."""

import fastsock

project = "fastsock"
copyright = "the fastsock developers"
release = version = fastsock.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"fastsock {release}"
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
# Links to files outside of docs/ go to the source tree, which the pages are read in too.
suppress_warnings = ["myst.xref_missing"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say them in words
napoleon_google_docstring = False
napoleon_use_rtype = False
exclude_patterns = ["_build"]
