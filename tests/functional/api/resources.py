"""A good request for each operation on what surrounds servers, by name,
and who has the right at least; see ``examples.py`` and ``test_rights.py``."""

from __future__ import annotations

from typing import Any

from tests.functional.api.world import (
    IMAGE,
    OTHER_SERVICE,
    OWN,
    SERVICE,
    SPARE_SERVICE,
)

_SERVICE = {'host': 'host2', 'binary': 'nova-compute'}


def _get(path: str, **more: Any) -> dict[str, Any]:
    return {'method': 'GET', 'path': path, **more}


def _post(path: str, body: Any, **more: Any) -> dict[str, Any]:
    return {'method': 'POST', 'path': path, 'body': body, **more}


def _put(path: str, body: Any, **more: Any) -> dict[str, Any]:
    return {'method': 'PUT', 'path': path, 'body': body, **more}


def _delete(path: str, **more: Any) -> dict[str, Any]:
    return {'method': 'DELETE', 'path': path, **more}


_SERVICES = {
    'services:update': _put(f'/os-services/{SERVICE}', {'status': 'disabled'}),
    'services:enable': _put('/os-services/enable', _SERVICE, version='2.52'),
    'services:disable': _put('/os-services/disable', _SERVICE, version='2.52'),
    'services:disable_log_reason': _put(
        '/os-services/disable-log-reason',
        {**_SERVICE, 'disabled_reason': 'a new fan'},
        version='2.52',
    ),
    'services:force_down': _put(
        '/os-services/force-down',
        {**_SERVICE, 'forced_down': True},
        version='2.52',
    ),
    'services:delete': _delete(f'/os-services/{SPARE_SERVICE}'),
}

_HYPERVISORS = {
    'hypervisors:index': _get('/os-hypervisors'),
    'hypervisors:detail': _get('/os-hypervisors/detail'),
    'hypervisors:show': _get(f'/os-hypervisors/{OTHER_SERVICE}'),
    'hypervisors:search': _get('/os-hypervisors/host/search', version='2.52'),
    'hypervisors:servers': _get(
        '/os-hypervisors/host/servers', version='2.52'
    ),
    'hypervisors:statistics': _get(
        '/os-hypervisors/statistics', version='2.87'
    ),
    'hypervisors:uptime': _get(
        f'/os-hypervisors/{OTHER_SERVICE}/uptime', version='2.87'
    ),
}


_FLAVOR = {'name': 'new', 'ram': 64, 'vcpus': 1, 'disk': 0}
_SPECS = 'os-extra_specs'
_FLAVORS = {
    'flavors:create': _post('/flavors', {'flavor': _FLAVOR}),
    'flavors:update': _put(
        '/flavors/made', {'flavor': {'description': 'by hand'}}
    ),
    'flavors:delete': _delete('/flavors/made'),
    'flavor_extra_specs:create': _post(
        f'/flavors/made/{_SPECS}', {'extra_specs': {'a': 'b'}}, free=True
    ),
    'flavor_extra_specs:update': _put(
        f'/flavors/made/{_SPECS}/colour', {'colour': 'blue'}, free=True
    ),
    'flavor_extra_specs:delete': _delete(f'/flavors/made/{_SPECS}/colour'),
    'flavor_access:index': _get('/flavors/made/os-flavor-access'),
}
_SHOWN_SPECS = {
    'flavor_extra_specs:index': _get(f'/flavors/1/{_SPECS}'),
    'flavor_extra_specs:show': _get(f'/flavors/1/{_SPECS}/hw:cpu'),
}

_IMAGES = {
    'images:index': _get('/images', root='/image/v2'),
    'images:show': _get(f'/images/{IMAGE}', root='/image/v2'),
    'images:schema_of_one': _get('/schemas/image', root='/image/v2'),
    'images:schema_of_many': _get('/schemas/images', root='/image/v2'),
}

_FOR_ALL = {
    'zones:index': _get('/os-availability-zone'),
    'limits:index': _get('/limits'),
    'quotas:defaults': _get(f'/os-quota-sets/{OWN}/defaults'),
    # Everybody has their own.
    'keypairs:index': _get('/os-keypairs'),
    'extensions:index': _get('/extensions'),
    'extensions:show': _get('/extensions/os-services'),
}
_FOR_READERS = {
    'quotas:show': _get(f'/os-quota-sets/{OWN}'),
    'quotas:detail': _get(f'/os-quota-sets/{OWN}/detail'),
    'server_groups:index': _get('/os-server-groups'),
}
_FOR_ADMINS = {
    'zones:detail': _get('/os-availability-zone/detail'),
    'aggregates:index': _get('/os-aggregates'),
}

#: name -> (who has the right at least, the fields of an Example)
RESOURCES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: ('admin', given) for name, given in _SERVICES.items()},
    **{name: ('admin', given) for name, given in _HYPERVISORS.items()},
    **{name: ('admin', given) for name, given in _FLAVORS.items()},
    **{name: ('reader', given) for name, given in _SHOWN_SPECS.items()},
    **{name: ('nobody', given) for name, given in _IMAGES.items()},
    **{name: ('nobody', given) for name, given in _FOR_ALL.items()},
    **{name: ('reader', given) for name, given in _FOR_READERS.items()},
    **{name: ('admin', given) for name, given in _FOR_ADMINS.items()},
}
