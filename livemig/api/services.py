"""Services: which processes there are; taking hosts out of use, and back.

Before 2.53 a service is named by host and binary, then by its uuid.
"""

from __future__ import annotations

from typing import Any

from oslo_utils import uuidutils

from livemig import exception, policy
from livemig.api import fields, lookup, microversion, validation
from livemig.api.action import Call, Errors, Operation, always
from livemig.api.microversion import Microversion as V
from livemig.api.validation import (
    BOOLEAN,
    HOST,
    ONCE,
    InvalidInput,
    Schema,
    closed,
    open_query,
)
from livemig.api.views import services as views
from livemig.objects import migration_states
from livemig.objects.instance import Instance
from livemig.objects.migration import Migration
from livemig.objects.service import COMPUTE, Service

_PARAMETERS: dict[str, Schema] = {'host': ONCE, 'binary': ONCE}
_BY_UUID = V(2, 53)
#: The last version at which the words of old were URLs.
_BY_NAME = _BY_UUID.previous

_STATUS: Schema = {'enum': ['enabled', 'disabled']}
_BINARY: Schema = {'type': 'string', 'minLength': 1, 'maxLength': 255}
_REASON: Schema = {'type': 'string', 'minLength': 1, 'maxLength': 255}


class NotChangeable(exception.LivemigError):
    template = (
        'Service {binary} of {host} cannot be changed: only services '
        f'{COMPUTE} can.'
    )


class InUse(exception.InvalidState):
    template = 'Service {binary} of {host} cannot be deleted: {reason}'


# -- list -------------------------------------------------------------------
def index(call: Call) -> dict[str, Any]:
    call.authorize()
    found = Service.list(call.context, dict(call.query))
    return {'services': [_told(call, service) for service in found]}


def _told(call: Call, service: Service) -> dict[str, Any]:
    source = views.ServiceSource(call, service)
    return fields.render(views.SERVICE, call.version, source)


# -- one of them ------------------------------------------------------------
def _of_path(call: Call) -> Service:
    """The service of the URL.

    :raises InvalidInput: that can be no id.
    :raises ServiceNotFound:
    """
    text = call.path['service_id']
    if call.version >= _BY_UUID and uuidutils.is_uuid_like(text):
        return Service.find(call.context, uuid=text)
    number = lookup.number(text)
    if call.version >= _BY_UUID or number is None:
        raise InvalidInput(
            where='the URL', reason=f'{text[:40]!r} is no id of a service.'
        )
    return Service.find(call.context, id=number)


def _of_body(call: Call) -> Service:
    """:raises ServiceNotFound:"""
    return Service.find(
        call.context, host=call.body['host'], binary=call.body['binary']
    )


def _check_changeable(service: Service) -> None:
    """:raises NotChangeable: nothing would come of it."""
    if service.binary != COMPUTE:
        raise NotChangeable(binary=service.binary, host=service.host)


# -- change, from 2.53 ------------------------------------------------------
def update(call: Call) -> dict[str, Any]:
    """Disable or enable, force down or up; several at once."""
    values = _wanted(call.body)
    call.authorize()
    service = _of_path(call)
    _check_changeable(service)
    service.update_values(**values)
    return {'service': _told(call, service)}


def _wanted(body: Any) -> dict[str, Any]:
    """The columns to change.

    :raises InvalidInput: there is nothing to change, or a reason for
        nothing.
    """
    values: dict[str, Any] = {}
    if 'status' in body:
        values['disabled'] = body['status'] == 'disabled'
        # A reason of before is not one for this time.
        values['disabled_reason'] = body.get('disabled_reason')
    if 'disabled_reason' in body and not values.get('disabled'):
        raise InvalidInput(
            where='the body.disabled_reason',
            reason='it needs "status": "disabled".',
        )
    if 'forced_down' in body:
        values['forced_down'] = validation.is_true(body['forced_down'])
    if not values:
        raise InvalidInput(
            where='the body', reason='it changes neither status nor '
            'forced_down.'
        )  # fmt: skip
    return values


# -- change, before 2.53 ----------------------------------------------------
def enable(call: Call) -> dict[str, Any]:
    return _change(call, {'status': 'enabled'})


def disable(call: Call) -> dict[str, Any]:
    return _change(call, {'status': 'disabled'})


def disable_log_reason(call: Call) -> dict[str, Any]:
    reason = call.body['disabled_reason']
    return _change(call, {'status': 'disabled', 'disabled_reason': reason})


def force_down(call: Call) -> dict[str, Any]:
    forced_down = validation.is_true(call.body['forced_down'])
    return _change(call, {'forced_down': forced_down})


def _change(call: Call, wanted: dict[str, Any]) -> dict[str, Any]:
    call.authorize()
    service = _of_body(call)
    _check_changeable(service)
    service.update_values(**_wanted(wanted))
    return {
        'service': {'host': service.host, 'binary': service.binary, **wanted}
    }


# -- delete -----------------------------------------------------------------
def delete(call: Call) -> None:
    """Forget a service that nothing depends on any more."""
    call.authorize()
    service = _of_path(call)
    if service.binary == COMPUTE:
        _check_unused(call, service)
    service.destroy()


def _check_unused(call: Call, service: Service) -> None:
    """:raises InUse: it has instances, or migrations to or from it."""
    unfinished = Migration.list(
        call.context,
        {
            'host': service.host,
            'status': sorted(migration_states.UNFINISHED),
        },
        limit=1,
    )
    if unfinished:
        reason = f'migration {unfinished[0].id} is in progress.'
    elif instances := Instance.list(
        call.context, {'host': service.host}, limit=1
    ):
        reason = f'it hosts instances, {instances[0].uuid} for one.'
    else:
        return
    raise InUse(binary=service.binary, host=service.host, reason=reason)


# -- records ----------------------------------------------------------------
_UPDATE = policy.Rule(
    'os_compute_api:os-services:update',
    policy.ADMIN,
    'Enable and disable services, force them down and up.',
)
_UPDATE_ERRORS: Errors = {
    exception.ServiceNotFound: 404,
    NotChangeable: 400,
}
_NAMED: dict[str, Schema] = {'host': HOST, 'binary': _BINARY}


def _by_name(
    word: str,
    handler: Any,
    summary: str,
    shown: dict[str, Schema],
    asked: dict[str, Schema] | None = None,
    first: V = microversion.FIRST,
) -> Operation:
    """A change as it was before 2.53: the URL's last word says which.

    :param shown: what the answer tells of it.
    :param asked: what the body needs beyond the service's name.
    """
    more = asked or {}
    answer = {**_NAMED, **shown}
    return Operation(
        name=f'services:{word.replace("-", "_")}',
        method='PUT',
        path=f'/os-services/{word}',
        first=first,
        last=_BY_NAME,
        summary=summary,
        handler=handler,
        policy=_UPDATE,
        success=200,
        request=always(closed({**_NAMED, **more}, *_NAMED, *more)),
        response=always(
            closed({'service': closed(answer, *answer)}, 'service')
        ),
        errors=_UPDATE_ERRORS,
    )


OPERATIONS = (
    Operation(
        name='services:index',
        method='GET',
        path='/os-services',
        summary='List services.',
        handler=index,
        policy=policy.Rule(
            'os_compute_api:os-services:list',
            policy.ADMIN,
            'List services.',
        ),
        success=200,
        query=(
            (V(2, 1), open_query(_PARAMETERS)),
            (V(2, 75), closed(_PARAMETERS)),
        ),
        response=fields.schemas(views.SERVICE, fields.many('services')),
    ),
    Operation(
        name='services:update',
        method='PUT',
        path='/os-services/{service_id}',
        first=_BY_UUID,
        summary='Enable or disable a service, force it down or up.',
        handler=update,
        policy=_UPDATE,
        success=200,
        request=always(
            closed(
                {
                    'status': _STATUS,
                    'disabled_reason': _REASON,
                    'forced_down': BOOLEAN,
                }
            )
        ),
        response=fields.schemas(
            views.SERVICE, fields.one('service'), first=_BY_UUID
        ),
        errors=_UPDATE_ERRORS,
    ),
    _by_name(
        'enable',
        enable,
        'Enable a service, before 2.53.',
        {'status': _STATUS},
    ),
    _by_name(
        'disable',
        disable,
        'Disable a service, before 2.53.',
        {'status': _STATUS},
    ),
    _by_name(
        'disable-log-reason',
        disable_log_reason,
        'Disable a service and say why, before 2.53.',
        {'status': _STATUS, 'disabled_reason': _REASON},
        {'disabled_reason': _REASON},
    ),
    _by_name(
        'force-down',
        force_down,
        'Force a service down or up, before 2.53.',
        {'forced_down': {'type': 'boolean'}},
        {'forced_down': BOOLEAN},
        first=V(2, 11),
    ),
    Operation(
        name='services:delete',
        method='DELETE',
        path='/os-services/{service_id}',
        summary='Forget a service that hosts nothing.',
        handler=delete,
        policy=policy.Rule(
            'os_compute_api:os-services:delete',
            policy.ADMIN,
            'Delete services.',
        ),
        success=204,
        errors={exception.ServiceNotFound: 404, InUse: 409},
    ),
)
