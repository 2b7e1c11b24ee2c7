"""Every right by its name, and who has it by default.

Written from Nova's table of rules and from the specifications, which leave
all about migrations to administrators.
"""

from __future__ import annotations

import pytest

from livemig import policy
from livemig.api.operations import documented_rules

ADMIN = 'rule:context_is_admin'
MEMBER = 'rule:project_member_or_admin'
READER = 'rule:project_reader_or_admin'
ANYBODY = '@'
#: Their own.
USER = '(rule:context_is_admin) or user_id:%(user_id)s'

#: Nova's, below ``os_compute_api:``.
NOVAS = {
    ADMIN: """
        limits:other_project
        os-admin-actions:reset_state
        os-aggregates:index
        os-availability-zone:detail
        os-extended-server-attributes
        os-flavor-access
        os-flavor-extra-specs:create
        os-flavor-extra-specs:delete
        os-flavor-extra-specs:update
        os-flavor-manage:create
        os-flavor-manage:delete
        os-flavor-manage:update
        os-hypervisors:list
        os-hypervisors:list-detail
        os-hypervisors:search
        os-hypervisors:servers
        os-hypervisors:show
        os-hypervisors:statistics
        os-hypervisors:uptime
        os-instance-actions:events
        os-instance-actions:events:details
        os-lock-server:unlock:unlock_override
        os-migrate-server:migrate_live
        os-migrate-server:migrate_live:host
        os-migrations:index
        os-migrations:index:all_projects
        os-migrations:index:host
        os-services:delete
        os-services:list
        os-services:update
        servers:allow_all_filters
        servers:create:forced_host
        servers:detail:get_all_tenants
        servers:index:get_all_tenants
        servers:migrations:delete
        servers:migrations:force_complete
        servers:migrations:index
        servers:migrations:index:host
        servers:migrations:show
        servers:show:host_status
        servers:show:host_status:unknown-only
    """,
    MEMBER: """
        os-lock-server:lock
        os-lock-server:unlock
        os-pause-server:pause
        os-pause-server:unpause
        os-rescue
        os-suspend-server:resume
        os-suspend-server:suspend
        os-unrescue
        server-metadata:create
        server-metadata:delete
        server-metadata:update
        server-metadata:update_all
        servers:create
        servers:delete
        servers:reboot
        servers:start
        servers:stop
        servers:update
    """,
    READER: """
        os-flavor-extra-specs:index
        os-flavor-extra-specs:show
        os-instance-actions:list
        os-instance-actions:show
        os-quota-sets:detail
        os-quota-sets:show
        os-server-groups:index
        server-metadata:index
        server-metadata:show
        servers:detail
        servers:index
        servers:show
        servers:show:flavor-extra-specs
    """,
    ANYBODY: """
        extensions
        limits
        os-availability-zone:list
        os-quota-sets:defaults
    """,
    USER: 'os-keypairs:index',
}
#: Nova's too, but of another kind of name.
OTHERS = {'compute:servers:create:requested_destination': ADMIN}
#: livemig's: what Nova asks no rule for, and what it does not have.
OWN = {
    ADMIN: 'servers:live_migrate_force_end',
    ANYBODY: """
        flavors:detail
        flavors:index
        flavors:show
        images:index
        images:show
        versions:show
    """,
}


def named(table: dict[str, str]) -> dict[str, str]:
    return {
        f'os_compute_api:{name}': check
        for check, names in table.items()
        for name in names.split()
    }


def test_every_rule_and_its_default() -> None:
    assert {rule.name: rule.check_str for rule in documented_rules()} == {
        **named(NOVAS),
        **named(OWN),
        **OTHERS,
    }


def test_each_is_of_a_project_and_is_explained() -> None:
    for rule in documented_rules():
        assert rule.scope_types == ['project'], rule.name
        assert rule.description
        assert rule.operations


@pytest.mark.parametrize(
    ('name', 'check'),
    [
        ('context_is_admin', 'role:admin'),
        ('admin_api', 'rule:context_is_admin'),
        (
            'admin_or_owner',
            'rule:context_is_admin or project_id:%(project_id)s',
        ),
        *(
            (
                f'project_{role}_api',
                f'role:{role} and project_id:%(project_id)s',
            )
            for role in ('manager', 'member', 'reader')
        ),
        *(
            (
                f'project_{role}_or_admin',
                f'rule:project_{role}_api or rule:context_is_admin',
            )
            for role in ('manager', 'member', 'reader')
        ),
        ('service_api', 'role:service'),
        ('service_or_admin', 'rule:service_api or rule:context_is_admin'),
    ],
)  # fmt: skip
def test_the_rules_that_files_for_nova_build_upon(
    name: str, check: str
) -> None:
    found = {rule.name: rule.check_str for rule in policy.base_defaults()}
    assert found[name] == check
    assert len(found) == 11
