"""A rescued server moves as another does, and is unrescued where it is."""

from tempest import config
from tempest.lib import decorators, exceptions

from livemig_tempest_plugin.tests import base

CONF = config.CONF


class RescuedLiveMigrationTest(base.LiveMigrationTest):
    """From 2.200 on."""

    @decorators.idempotent_id('82d35aef-bb9f-449c-b675-9ffff77be14a')
    def test_migrate_and_unrescue(self):
        """It is in rescue at the destination; unrescue ends it there."""
        server_id = self.busy_server()
        self.client.rescue_server(server_id)
        self.wait_for(server_id, 'RESCUE')
        _, destination, migration_id = self.migrate_until_it_copies(server_id)
        # In the middle of it the server says so, and stays in rescue.
        self.assertEqual('MIGRATING', self.show(server_id)['status'])
        self.assertRaises(
            exceptions.Conflict, self.client.unrescue_server, server_id
        )
        self.act(server_id, 'live-migrate-force-end')
        ended = self.wait_ended(server_id, migration_id)
        self.assertEqual('completed', ended['status'])
        self.assert_rests(server_id, destination, 'RESCUE')
        self.client.unrescue_server(server_id)
        self.wait_for(server_id, 'ACTIVE')
        self.assert_rests(server_id, destination)

    @decorators.idempotent_id('cb899bd5-6eeb-4745-94e5-3dc0f6add029')
    def test_abort(self):
        """It stays in rescue where it was."""
        server_id = self.busy_server()
        self.client.rescue_server(server_id)
        self.wait_for(server_id, 'RESCUE')
        source, _, migration_id = self.migrate_until_it_copies(server_id)
        self.assertEqual(202, self.abort(server_id, migration_id))
        ended = self.wait_ended(server_id, migration_id)
        self.assertEqual('cancelled', ended['status'])
        self.assert_rests(server_id, source, 'RESCUE')


class RescuedBeforeTest(base.LiveMigrationTest):
    """As Nova has it, and so livemig below 2.200."""

    min_microversion = '2.1'
    max_microversion = '2.100'

    @decorators.attr(type='negative')
    @decorators.idempotent_id('9ea3ae08-9af3-4271-afa6-dceb1313845b')
    def test_refused(self):
        server_id = self.create_test_server(wait_until='ACTIVE')['id']
        self.client.rescue_server(server_id)
        self.wait_for(server_id, 'RESCUE')
        source = self.host(server_id)
        self.assertRaises(
            exceptions.Conflict,
            self.client.live_migrate_server,
            server_id,
            host=None,
            block_migration=False,
            disk_over_commit=False,
        )
        self.assert_rests(server_id, source, 'RESCUE')
