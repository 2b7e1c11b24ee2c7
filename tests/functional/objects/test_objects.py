"""Objects on the wire: a change of their fields must change the version."""

import datetime
import json

from oslo_versionedobjects import fixture

from livemig.objects import base, instance, migration, service

NOW = datetime.datetime(2026, 5, 1, 12, 0, 0, 123456, datetime.UTC)

#: A field was added, removed or retyped: raise VERSION of the object, teach
#: it obj_make_compatible for the older ones, and only then this hash.
HASHES = {
    'Instance': '1.1-295a48a35c62b50c781f8fdbd1a59423',
    'Migration': '1.0-0ca4f739ae8c4b6f9cd809b4f5a60e8e',
    'Service': '1.0-5fd6afb9da005044d65c95245863ae15',
}


def checker():
    classes = base.Registry.obj_classes()
    ours = {cls.__name__ for cls in _CLASSES}
    return fixture.ObjectVersionChecker(
        {name: classes[name] for name in classes if name in ours}
    )


_CLASSES = (instance.Instance, migration.Migration, service.Service)


def test_the_fields_go_with_the_versions():
    expected, actual = checker().test_hashes(HASHES)
    assert expected == actual


def test_every_object_of_ours_is_checked():
    ours = {
        name
        for name, (cls, *_) in base.Registry.obj_classes().items()
        if issubclass(cls, base.LivemigObject)
    }
    assert ours == HASHES.keys()


def test_older_versions_can_be_made():
    checker().test_compatibility_routines()


def test_a_row_that_came_over_the_bus_is_the_same(migration, db):
    """Times travel as ISO 8601; a compare-and-swap needs all of them."""
    migration.save_values(plan={'disks': [{'device': 'vda'}]}, elapsed_s=1.5)
    migration.claim('conductor1', NOW, 60)
    row = {
        name: value.isoformat()
        if isinstance(value, datetime.datetime)
        else value
        for name, value in db.migration_get(migration.id).items()
    }
    sent = json.loads(json.dumps(row))
    read = type(migration).from_row(migration._context, sent)
    assert read.to_values() == migration.to_values()
    assert read.claimed_at == NOW


def test_a_newer_keepers_columns_are_left_out(ctxt, instance, db):
    row = {**db.instance_get(instance.uuid), 'shape': 'round'}
    read = type(instance).from_row(ctxt, row)
    assert read.to_values() == instance.to_values()
    assert not read.obj_what_changed()
