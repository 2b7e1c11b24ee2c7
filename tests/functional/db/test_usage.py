"""What instances take, summed up as the Store promises it."""

import pytest


def test_sums_of_hosts(db, make_instance):
    make_instance('one', vcpus=2, memory_mb=512, root_gb=4)
    make_instance('two', vcpus=1, memory_mb=64, task_state='migrating')
    make_instance('three', host='beta', vcpus=8, memory_mb=2**20)
    make_instance('four', host=None, vcpus=8)
    make_instance('gone', vcpus=8)
    db.instance_destroy('gone')
    rows = db.instance_sums('host', ['alpha', 'beta', 'gamma'])
    rows.sort(key=lambda row: row['host'])
    assert rows == [
        {
            'host': 'alpha', 'instances': 2, 'vcpus': 3, 'memory_mb': 576,
            'root_gb': 4, 'busy': 1,
        },
        {
            'host': 'beta', 'instances': 1, 'vcpus': 8,
            'memory_mb': 2**20, 'root_gb': 0, 'busy': 0,
        },
    ]  # fmt: skip
    assert all(type(v) is int for row in rows for v in list(row.values())[1:])
    assert db.instance_sums('host', []) == []


def test_sums_of_projects(db, make_instance):
    make_instance('one', vcpus=2)
    make_instance('two', vcpus=2**31 - 1)
    make_instance('three', project_id='p2')
    [row] = db.instance_sums('project_id', ['p1'])
    assert (row['instances'], row['vcpus']) == (2, 2**31 + 1)


def test_sums_of_nothing_else(db):
    with pytest.raises(ValueError, match='vm_state'):
        db.instance_sums('vm_state', ['active'])


def test_places(db, make_instance):
    first = make_instance('one')
    make_instance('two', host='beta')
    third = make_instance('three')
    make_instance('gone')
    db.instance_destroy('gone')
    assert db.instance_places(['alpha', 'gamma']) == [
        {'id': first['id'], 'uuid': 'one', 'host': 'alpha'},
        {'id': third['id'], 'uuid': 'three', 'host': 'alpha'},
    ]
    assert db.instance_places([]) == []
