"""How the documentation is built: ``sphinx-build -W doc/source doc/build``."""

from livemig import concurrency

# Reading the rules imports oslo.messaging, which would choose eventlet.
concurrency.setup()

project = 'livemig'
copyright = 'the livemig developers'  # noqa: A001 - Sphinx's own name
author = 'the livemig developers'

extensions = [
    # Options and rules are read from the code, so none can be missing.
    'oslo_config.sphinxext',
    'oslo_policy.sphinxext',
    # The notes in releasenotes/, in the order of git's history.
    'reno.sphinxext',
]
root_doc = 'index'
language = 'en'
exclude_patterns = ['**/*.inc']
nitpicky = False

html_theme = 'alabaster'
html_theme_options = {
    'nosidebar': False,
    'page_width': '70em',
    'body_max_width': '56em',
}
html_static_path: list[str] = []
pygments_style = 'sphinx'
