"""Decides where links in answers lead, and what a page of a list is."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

import webob
from oslo_config import cfg

API_ROOT = '/v2.1'
#: Where the image service is, to clients an endpoint of its own; and what
#: its operations lie below.
IMAGE_SERVICE = '/image'
IMAGE_ROOT = f'{IMAGE_SERVICE}/v2'

Link = dict[str, str]


class Links:
    """Makes the links of the answers to one request."""

    def __init__(
        self, request: webob.Request, conf: cfg.ConfigOpts, project: str = ''
    ) -> None:
        """:param project: as in the request's URL; '' if it had none."""
        prefix = conf.api.compute_link_prefix
        self._base = (prefix or request.application_url).rstrip('/')
        self._project = f'/{project}' if project else ''

    @property
    def root(self) -> str:
        """Where the API is; with a slash at its end, as Nova has it."""
        return f'{self._base}{API_ROOT}/'

    @property
    def image_root(self) -> str:
        """Where the second version of the image service's API is."""
        return f'{self._base}{IMAGE_ROOT}/'

    def self_of(self, path: str) -> str:
        return f'{self._base}{API_ROOT}{self._project}{path}'

    def bookmark_of(self, path: str) -> str:
        """The same without a version."""
        return f'{self._base}{self._project}{path}'

    def of(self, path: str) -> list[Link]:
        """Both, as they stand in most objects."""
        return [
            {'rel': 'self', 'href': self.self_of(path)},
            {'rel': 'bookmark', 'href': self.bookmark_of(path)},
        ]

    def next_page(
        self, path: str, query: Mapping[str, Any], marker: object
    ) -> list[Link]:
        """The link to what comes after ``marker``."""
        parameters = {**query, 'marker': str(marker)}
        text = urllib.parse.urlencode(parameters, doseq=True)
        return [{'rel': 'next', 'href': f'{self.self_of(path)}?{text}'}]


class Page:
    """How much of a list was asked for.

    :ivar limit: rows at most; never more than the configured maximum.
    :ivar marker: what the page comes after, or None.
    """

    def __init__(self, query: Mapping[str, Any], max_limit: int) -> None:
        text = str(query.get('limit', max_limit))
        # More digits than any limit has; int() refuses thousands of them.
        asked = int(text) if len(text) < 10 else max_limit
        self.limit = min(asked, max_limit)
        marker = query.get('marker')
        self.marker: str | None = None if marker is None else str(marker)

    def is_full(self, rows: Sequence[object]) -> bool:
        """Whether there may be more: Nova then gives a link, and so does a
        page that happens to be exactly full."""
        return bool(rows) and len(rows) == self.limit
