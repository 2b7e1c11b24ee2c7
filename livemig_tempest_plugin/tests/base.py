"""What the tests do with a server and its migrations."""

import json

from tempest import config
from tempest.api.compute import base
from tempest.common import waiters
from tempest.lib import exceptions
from tempest.lib.common.utils import test_utils

CONF = config.CONF

ENDED = ('completed', 'cancelled', 'failed', 'error')


class LiveMigrationTest(base.BaseV2ComputeAdminTest):
    """A server that moves between two hosts, and who is in charge of it.

    livemig's own fields and actions, which tempest's clients do not know,
    are asked for without these clients' schemas.
    """

    min_microversion = '2.202'
    max_microversion = 'latest'

    @classmethod
    def skip_checks(cls):
        super().skip_checks()
        if not CONF.service_available.livemig:
            raise cls.skipException('The compute service is not livemig')
        if not CONF.livemig.busy_image_ref:
            raise cls.skipException('[livemig] busy_image_ref is not set')
        if CONF.compute.min_compute_nodes < 2:
            raise cls.skipException('There are less than two hosts')

    @classmethod
    def setup_clients(cls):
        super().setup_clients()
        cls.client = cls.os_admin.servers_client

    # -- servers --

    def busy_server(self):
        """The id of a server whose migration does not end by itself."""
        flavor = CONF.livemig.busy_flavor_ref or CONF.compute.flavor_ref
        return self.create_test_server(
            image_id=CONF.livemig.busy_image_ref,
            flavor=flavor,
            wait_until='ACTIVE',
        )['id']

    def show(self, server_id):
        return self.client.show_server(server_id)['server']

    def host(self, server_id):
        return self.show(server_id)['OS-EXT-SRV-ATTR:host']

    def other_host(self, server_id):
        return self.get_host_other_than(server_id)

    def act(self, server_id, action, argument=None, client=None):
        """POST an action, by default as an administrator. Raises what
        tempest raises for the answer's code."""
        answer, _ = (client or self.client).post(
            f'servers/{server_id}/action', json.dumps({action: argument})
        )
        return answer.status

    def assert_rests(self, server_id, host, status='ACTIVE'):
        """It is there, nothing is under way, and it has that status."""
        server = self.show(server_id)
        self.assertEqual(host, server['OS-EXT-SRV-ATTR:host'])
        self.assertIsNone(server['OS-EXT-STS:task_state'])
        self.assertEqual(status, server['status'])

    def wait_for(self, server_id, status):
        waiters.wait_for_server_status(self.client, server_id, status)

    # -- migrations --

    def migrate(self, server_id, host):
        """Begin a migration; its id."""
        self.act(
            server_id,
            'os-migrateLive',
            {'host': host, 'block_migration': 'auto'},
        )
        return self.migrations(server_id)[0]['id']

    def migrate_until_it_copies(self, server_id):
        """Begin one that does not end by itself: where from and to, and
        its id."""
        source, destination = self.host(server_id), self.other_host(server_id)
        migration_id = self.migrate(server_id, destination)

        def copies():
            found = self.running(server_id, migration_id)
            return found is not None and (found['pass_number'] or 0) >= 1

        self._wait(copies, f'migration {migration_id} copies memory')
        return source, destination, migration_id

    def migrations(self, server_id):
        """All of a server, the newest first."""
        _, body = self.client.get(f'os-migrations?instance_uuid={server_id}')
        return json.loads(body)['migrations']

    def running(self, server_id, migration_id):
        """One that is in progress; None if it is not."""
        try:
            _, body = self.client.get(
                f'servers/{server_id}/migrations/{migration_id}'
            )
        except exceptions.NotFound:
            return None
        return json.loads(body)['migration']

    def abort(self, server_id, migration_id):
        answer, _ = self.client.delete(
            f'servers/{server_id}/migrations/{migration_id}'
        )
        return answer.status

    def force_complete(self, server_id, migration_id):
        answer, _ = self.client.post(
            f'servers/{server_id}/migrations/{migration_id}/action',
            json.dumps({'force_complete': None}),
        )
        return answer.status

    def wait_ended(self, server_id, migration_id):
        """The migration once it is over and the server rests."""
        found = {}

        def ended():
            for migration in self.migrations(server_id):
                if migration['id'] == migration_id:
                    found.update(migration)
            return found.get('status') in ENDED

        self._wait(ended, f'migration {migration_id} ends')
        return found

    def action_names(self, server_id):
        """Of all instance actions."""
        listed = self.client.list_instance_actions(server_id)
        return [one['action'] for one in listed['instanceActions']]

    def _wait(self, condition, what):
        limit_s = CONF.livemig.migration_timeout_s
        if not test_utils.call_until_true(condition, limit_s, 1):
            raise exceptions.TimeoutException(f'{limit_s} s: {what}')
