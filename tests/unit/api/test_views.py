"""Small decisions of the views and links."""

from __future__ import annotations

import datetime

import pytest
import webob

from livemig.api import fields
from livemig.api.fields import ABSENT, Field
from livemig.api.links import Links, Page
from livemig.api.microversion import Microversion as V
from livemig.api.views import common
from livemig.api.views.migrations import flavor_number


class Conf:
    """Just the option that links read."""

    class api:
        compute_link_prefix: str | None = None

    def __init__(self, prefix: str | None = None) -> None:
        self.api = type('api', (), {'compute_link_prefix': prefix})


@pytest.mark.parametrize(
    ('url', 'prefix', 'project', 'told'),
    [
        ('http://h:1/v2.1/x', None, '', 'http://h:1/v2.1/a'),
        ('http://h:1/v2.1/x', None, 'p', 'http://h:1/v2.1/p/a'),
        ('http://h/v2.1/x', 'https://pub/compute', '',
         'https://pub/compute/v2.1/a'),
        ('http://h/v2.1/x', 'https://pub/compute/', 'p',
         'https://pub/compute/v2.1/p/a'),
    ],
)  # fmt: skip
def test_links(url, prefix, project, told) -> None:
    links = Links(webob.Request.blank(url), Conf(prefix), project)
    assert links.self_of('/a') == told
    assert links.bookmark_of('/a') == told.replace('/v2.1', '')


def test_links_below_a_mount_point() -> None:
    request = webob.Request.blank('/v2.1', environ={'SCRIPT_NAME': '/nova'})
    assert Links(request, Conf()).root == 'http://localhost/nova/v2.1/'


def test_next_page_keeps_the_query() -> None:
    links = Links(webob.Request.blank('/'), Conf())
    (link,) = links.next_page(
        '/x', {'limit': '1', 'marker': 'old', 'status': ['a', 'b c']}, 'm'
    )
    assert link['href'] == (
        'http://localhost/v2.1/x?limit=1&marker=m&status=a&status=b+c'
    )


@pytest.mark.parametrize(
    ('query', 'limit'),
    [({}, 10), ({'limit': '3'}, 3), ({'limit': '11'}, 10),
     ({'limit': '0'}, 0), ({'limit': '007'}, 7),
     ({'limit': '9' * 5000}, 10)],
)  # fmt: skip
def test_page(query, limit) -> None:
    page = Page(query, 10)
    assert page.limit == limit
    assert page.is_full([0] * limit) is (limit > 0)
    assert not page.is_full([0] * (limit - 1))


def test_fields_by_version() -> None:
    table = (
        Field('a', {}, lambda o: o, last=V(2, 5)),
        Field('a', {'type': 'string'}, str, first=V(2, 6)),
        Field('b', {}, lambda _o: ABSENT, first=V(2, 9), optional=True),
    )
    assert fields.render(table, V(2, 5), 7) == {'a': 7}
    assert fields.render(table, V(2, 9), 7) == {'a': '7'}
    schemas = fields.schemas(table, lambda schema, _version: schema)
    assert [first for first, _ in schemas] == [V(2, 1), V(2, 6), V(2, 9)]
    assert [sorted(s['properties']) for _, s in schemas] == [
        ['a'], ['a'], ['a', 'b'],
    ]  # fmt: skip
    assert all(s['required'] == ['a'] for _, s in schemas)


def test_times() -> None:
    berlin = datetime.timezone(datetime.timedelta(hours=1))
    at = datetime.datetime(2026, 1, 1, 1, 2, 3, 4, tzinfo=berlin)
    assert common.seconds_time(at) == '2026-01-01T00:02:03Z'
    assert common.exact_time(at) == '2026-01-01T00:02:03.000004'
    assert common.seconds_time(None) is common.exact_time(None) is None


def test_flavor_numbers() -> None:
    assert flavor_number('42') == 42
    assert flavor_number(None) is None
    for odd in ('m1.tiny', '9' * 30, '²', '-1', ''):
        number = flavor_number(odd)
        assert number is not None
        assert 0 <= number < 2**31
        assert number == flavor_number(odd)
