"""Who may do what: by default, with Nova's defaults, with own files."""

from __future__ import annotations

import pathlib

import pytest

from livemig import exception, policy
from livemig.api.operations import documented_rules
from tests.functional.api import resources
from tests.functional.api.examples import EXAMPLES
from tests.functional.api.world import (
    ADMIN,
    MANAGER,
    MEMBER,
    MIGRATIONS,
    NOBODY,
    OWN,
    READER,
    SERVERS,
    World,
)

PERSONAS = {
    'nobody': NOBODY,
    'reader': READER,
    'member': MEMBER,
    'manager': MANAGER,
    'admin': ADMIN,
}
_ORDER = list(PERSONAS)

#: Who has the right at least; from the specs and Nova's table of rules.
LEAST = {
    'versions:show': 'nobody',
    'servers:index': 'reader',
    'servers:detail': 'reader',
    'servers:show': 'reader',
    'servers:delete': 'member',
    'servers:create': 'member',
    'servers:update': 'member',
    'server_metadata:index': 'reader',
    'server_metadata:create': 'member',
    'server_metadata:update_all': 'member',
    'server_metadata:show': 'reader',
    'server_metadata:update': 'member',
    'server_metadata:delete': 'member',
    'servers:pause': 'member',
    'servers:unpause': 'member',
    'servers:suspend': 'member',
    'servers:resume': 'member',
    'servers:start': 'member',
    'servers:stop': 'member',
    'servers:reboot': 'member',
    'servers:rescue': 'member',
    'servers:unrescue': 'member',
    'servers:lock': 'member',
    'servers:unlock': 'member',
    'servers:reset_state': 'admin',
    'servers:migrate_live': 'admin',
    'servers:force_end': 'admin',
    'server_migrations:index': 'admin',
    'server_migrations:show': 'admin',
    'server_migrations:abort': 'admin',
    'server_migrations:force_complete': 'admin',
    'migrations:index': 'admin',
    'instance_actions:index': 'reader',
    'instance_actions:show': 'reader',
    'flavors:index': 'nobody',
    'flavors:detail': 'nobody',
    'flavors:show': 'nobody',
    'services:index': 'admin',
    **{name: least for name, (least, _given) in resources.RESOURCES.items()},
}
#: What Nova's managers have on top.
MANAGERS = {
    'servers:migrate_live',
    'server_migrations:index',
    'server_migrations:abort',
    'server_migrations:force_complete',
}

FILE = pathlib.Path(__file__).parents[3] / (
    'etc/livemig/nova-manager-policy.yaml'
)


def may(world: World, name: str, persona: str) -> bool:
    example = EXAMPLES[name]
    answer = world.ask(
        example.method,
        example.url,
        version=example.version,
        body=example.body,
        root=example.root,
        roles=PERSONAS[persona],
    )
    assert answer.status_int in (200, 202, 204, 400, 403, 404, 409)
    return answer.status_int != 403


@pytest.mark.parametrize('name', EXAMPLES)
def test_defaults(still_world: World, name: str) -> None:
    allowed = [one for one in PERSONAS if may(still_world, name, one)]
    assert allowed == _ORDER[_ORDER.index(LEAST[name]) :]


def test_nova_managers(world: World) -> None:
    (world.directory / 'policy.yaml').write_text(FILE.read_text())
    allowed = {
        name
        for name, least in LEAST.items()
        if least == 'admin' and may(world, name, 'manager')
    }
    assert allowed == MANAGERS
    assert not any(may(world, name, 'member') for name in MANAGERS)


def test_nova_managers_see_no_hosts(world: World) -> None:
    """Neither as such nor in what is said of how it ended."""
    (world.directory / 'policy.yaml').write_text(FILE.read_text())
    for name in ('running', 'failed'):
        world.migration(name).save_values(reason='host1 does not answer')
    server = world.ask(
        'GET', f'/servers/{SERVERS["running"]}/migrations', roles=MANAGER
    ).json_body['migrations'][0]
    alone = world.ask(
        'GET', f'/os-migrations?project_id={OWN}', roles=MANAGER
    ).json_body['migrations']
    assert len(alone) == len(MIGRATIONS)
    assert 'host1' not in str((server, alone))
    for migration in (server, *alone):
        for key in (
            'source_compute', 'source_node', 'dest_compute', 'dest_node',
            'reason',
        ):  # fmt: skip
            assert migration[key] is None


def test_nova_managers_choose_no_host(world: World) -> None:
    (world.directory / 'policy.yaml').write_text(FILE.read_text())
    answer = world.ask(
        'POST',
        f'/servers/{SERVERS["active"]}/action',
        body={'os-migrateLive': {'host': 'host2', 'block_migration': 'auto'}},
        roles=MANAGER,
    )
    assert answer.status_int == 403
    assert 'migrate_live:host' in answer.text
    assert world.instance('active').task_state is None


def test_nova_managers_see_their_project_only(world: World) -> None:
    (world.directory / 'policy.yaml').write_text(FILE.read_text())
    for query in ('', '?project_id=0ddba11'):
        answer = world.ask('GET', f'/os-migrations{query}', roles=MANAGER)
        assert answer.status_int == 403
        assert 'all_projects' in answer.text


def test_details_of_events_are_for_admins(world: World) -> None:
    request = f'req-{SERVERS["running"]}'
    world.store.event_start(
        SERVERS['running'],
        request,
        {'event': 'e', 'host': 'host1', 'start_time': world.clock.now()},
    )
    path = f'/servers/{SERVERS["running"]}/os-instance-actions/{request}'

    def event(roles):
        action = world.ask('GET', path, '2.84', roles=roles).json_body
        return set(action['instanceAction']['events'][0])

    everybody = {'event', 'start_time', 'finish_time', 'result', 'hostId'}
    assert event(READER) == everybody
    assert event(ADMIN) == everybody | {'traceback', 'host', 'details'}


def test_that_a_host_is_unknown_may_be_all_that_is_told(world: World) -> None:
    [row] = world.store.service_list(
        {'host': 'host1', 'binary': 'nova-compute'}
    )
    states = {
        'UP': {'last_seen_at': world.clock.now()},
        'MAINTENANCE': {'disabled': True},
        'DOWN': {'disabled': False, 'forced_down': True},
        'UNKNOWN': {'forced_down': False, 'last_seen_at': None},
    }

    def shown(roles):
        answer = world.ask('GET', f'/servers/{SERVERS["active"]}', roles=roles)
        return answer.json_body['server'].get('host_status')

    for given, reader_sees in (('', None), ('role:reader', 'UNKNOWN')):
        if given:
            (world.directory / 'policy.yaml').write_text(
                '"os_compute_api:servers:show:host_status:unknown-only": '
                f'"{given}"'
            )
        for state, values in states.items():
            world.store.service_update(row['uuid'], values)
            assert shown(ADMIN) == state
            wanted = reader_sees if state == 'UNKNOWN' else None
            assert shown(READER) == wanted, state


def test_a_file_that_was_written_for_nova(world: World) -> None:
    """It may build upon rules that livemig itself does not need."""
    (world.directory / 'policy.yaml').write_text(
        '"os_compute_api:os-services:list": "rule:service_or_admin"\n'
        '"os_compute_api:os-hypervisors:list": "rule:admin_or_owner"\n'
        '"os_compute_api:servers:show": "rule:admin_api"\n'
    )

    def code(path, *roles):
        return world.ask('GET', path, roles=roles).status_int

    assert code('/os-services', 'service') == 200
    assert code('/os-services', *READER) == 403
    assert code('/os-hypervisors', *NOBODY) == 200
    server = f'/servers/{SERVERS["active"]}'
    assert code(server, *MEMBER) == 403
    assert code(server, *ADMIN) == 200


# -- files ------------------------------------------------------------------
def enforcer_of(world: World) -> policy.Enforcer:
    return policy.Enforcer(
        world.conf, [*policy.base_defaults(), *documented_rules()]
    )


RULE = policy.Rule('os_compute_api:servers:migrations:delete', '', '')


def test_a_changed_file_counts_at_once(world: World) -> None:
    file = world.directory / 'policy.yaml'
    rules = enforcer_of(world)
    member = world.context(roles=['member'])
    assert not rules.may(member, RULE)
    file.write_text(f'"{RULE.name}": "role:member"')
    assert rules.may(member, RULE)
    file.unlink()
    assert not rules.may(member, RULE)


@pytest.mark.parametrize(
    'text',
    [
        '{',
        '"' + RULE.name + '": [',
        '- a list',
        'just text',
        f'"{RULE.name}": 7',
        f'"{RULE.name}": "role member"',
        f'"{RULE.name}": "rule:nobody_has_written_it"',
        '"a": "rule:b"\n"b": "rule:a"',
    ],
)
def test_a_broken_file_changes_nothing(world: World, text, caplog) -> None:
    file = world.directory / 'policy.yaml'
    file.write_text(f'"{RULE.name}": "role:member"')
    rules = enforcer_of(world)
    member = world.context(roles=['member'])
    assert rules.may(member, RULE)
    file.write_text(text)
    assert rules.may(member, RULE)
    assert 'policy files are broken' in caplog.text
    assert not rules.may(world.context(roles=['reader']), RULE)
    # And a good one counts again.
    file.write_text(f'"{RULE.name}": "role:reader"')
    assert rules.may(world.context(roles=['reader']), RULE)


def test_a_broken_file_at_the_start(world: World) -> None:
    (world.directory / 'policy.yaml').write_text('{')
    with pytest.raises(exception.ConfigurationError, match='policy_file'):
        enforcer_of(world)


def test_a_directory_of_files(world: World) -> None:
    directory = world.directory / 'policy.d'
    directory.mkdir()
    rules = enforcer_of(world)
    member = world.context(roles=['member'])
    assert not rules.may(member, RULE)
    (directory / 'one.yaml').write_text(f'"{RULE.name}": "role:member"')
    assert rules.may(member, RULE)


def test_a_system_token_may_nothing(world: World) -> None:
    """Every rule is about projects; scope is always looked at."""
    system = world.context(roles=['admin'], system_scope='all')
    assert not enforcer_of(world).may(system, RULE)


def test_an_unknown_rule_is_our_mistake(world: World) -> None:
    unknown = policy.Rule('no:such:rule', '', '')
    with pytest.raises(Exception, match='no:such:rule'):
        enforcer_of(world).may(world.context(roles=['admin']), unknown)
