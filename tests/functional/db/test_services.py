"""Services as the Store promises them."""

import pytest

BEAT = {
    'host': 'alpha',
    'binary': 'livemig-compute',
    'topic': 'compute',
    'version': 3,
    'facts': {'hypervisor_version': 9000000},
}


def test_the_first_report_registers(db, now):
    row = db.service_report(BEAT)
    assert len(row['uuid']) == 36
    assert row['facts'] == BEAT['facts']
    assert row['last_seen_at'] == row['created_at'] == now.value
    assert row['updated_at'] is None
    assert (row['disabled'], row['forced_down']) == (False, False)
    assert db.service_list({}) == [row]


def test_the_next_report_refreshes_and_keeps_the_rest(db, now):
    first = db.service_report(BEAT)
    db.service_update(
        first['uuid'], {'disabled': True, 'disabled_reason': 'tired'}
    )
    seen = now.forward(seconds=10)
    second = db.service_report(
        {**BEAT, 'version': 4, 'last_seen_at': seen.isoformat()}
    )
    assert second['id'] == first['id']
    assert second['uuid'] == first['uuid']
    assert (second['version'], second['disabled']) == (4, True)
    assert second['last_seen_at'] == seen
    assert second['updated_at'] > seen


def test_list(db):
    first = db.service_report(BEAT)
    second = db.service_report({**BEAT, 'host': 'beta'})
    third = db.service_report({**BEAT, 'binary': 'livemig-conductor'})
    assert db.service_list({}) == [first, second, third]
    assert db.service_list({'host': 'beta'}) == [second]
    assert db.service_list({'host': 'alpha', 'binary': BEAT['binary']}) == [
        first
    ]
    assert db.service_list({'disabled': True}) == []
    with pytest.raises(ValueError, match='services'):
        db.service_list({'facts': {}})


def test_update_of_none(db):
    assert db.service_update('none', {'disabled': True}) is None
    with pytest.raises(ValueError, match='services'):
        db.service_update('none', {'colour': 'red'})


def test_a_deleted_one_may_come_back_as_new(db):
    first = db.service_report(BEAT)
    assert db.service_destroy(first['uuid']) is True
    assert db.service_destroy(first['uuid']) is False
    assert db.service_list({}) == []
    assert db.service_update(first['uuid'], {'disabled': True}) is None
    second = db.service_report(BEAT)
    assert second['uuid'] != first['uuid']
    assert db.service_destroy(second['uuid']) is True
    assert len(db.service_list({'deleted': True})) == 2
