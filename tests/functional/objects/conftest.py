"""A real database on SQLite for each test."""

import uuid

import pytest

from livemig import context
from livemig.db.api import Database
from livemig.objects.instance import Instance
from livemig.objects.migration import Migration
from tests.functional import empty


@pytest.fixture
def db(tmp_path):
    made = Database(empty.make(tmp_path / 'livemig.sqlite'))
    yield made
    made.dispose()


@pytest.fixture
def ctxt(db):
    return context.RequestContext(
        user_id='alice',
        project_id='project',
        request_id='req-migrate',
        is_admin=True,
        store=db,
    )


@pytest.fixture
def instance(ctxt):
    return Instance.create(
        ctxt,
        {
            'uuid': str(uuid.uuid4()),
            'display_name': 'guest',
            'user_id': 'owner',
            'project_id': 'project',
            'host': 'host1',
            'node': 'host1',
            'vm_state': 'active',
            'task_state': None,
            'power_state': 1,
            'progress': 0,
            'memory_mb': 64,
            'vcpus': 1,
            'root_gb': 0,
            'flavor': {},
            'image_ref': '',
            'image': {},
            'metadata': {},
            'locked': False,
        },
        {
            'action': 'create',
            'request_id': 'req-create',
            'user_id': 'owner',
            'project_id': 'project',
        },
    )


@pytest.fixture
def begin(ctxt, instance):
    """Begin a migration of the instance, as the API does."""

    def begin_():
        return Migration.begin(
            ctxt,
            instance.uuid,
            {
                'uuid': str(uuid.uuid4()),
                'source_compute': 'host1',
                'user_id': 'alice',
                'project_id': 'project',
                'request_id': 'req-migrate',
                'forced': False,
                'hidden': False,
            },
            {'task_state': 'migrating'},
            {'task_state': None},
            {
                'action': 'live-migration',
                'request_id': 'req-migrate',
                'user_id': 'alice',
                'project_id': 'project',
            },
        )

    return begin_


@pytest.fixture
def migration(begin):
    return begin()


@pytest.fixture
def put(db):
    """Write columns past all guards: how a test makes its starting point."""

    def put_(migration, **values):
        db.migration_update(migration.id, values)
        migration.refresh()
        return migration

    return put_
