"""Times: aware UTC, or refused."""

import datetime

import pytest

from livemig.db.types import parse_time

UTC = datetime.UTC
NOON = datetime.datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    'value',
    [
        NOON,
        NOON.astimezone(datetime.timezone(datetime.timedelta(hours=5))),
        '2026-03-01T12:00:00Z',
        '2026-03-01T12:00:00',
        '2026-03-01 12:00:00.000000',
        '2026-03-01T14:00:00+02:00',
        '20260301T120000Z',
    ],
)
def test_times(value):
    parsed = parse_time(value)
    assert parsed == NOON
    assert parsed.tzinfo is UTC


@pytest.mark.parametrize('value', ['', 'noon', '2026-13-01T00:00:00Z'])
def test_texts_that_are_no_times(value):
    with pytest.raises(ValueError, match='.'):
        parse_time(value)


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(ValueError, match='zone'):
        parse_time(NOON.replace(tzinfo=None))
