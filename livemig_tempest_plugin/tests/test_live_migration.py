"""A migration that does not end by itself: abort it, force it, let it time
out."""

import testtools
from tempest import config
from tempest.lib import decorators, exceptions

from livemig_tempest_plugin.tests import base

CONF = config.CONF


class LiveMigrationControlTest(base.LiveMigrationTest):
    """Operators end migrations."""

    @decorators.idempotent_id('4e83b477-8130-4951-be25-d482318c4e1a')
    def test_abort(self):
        """It goes on at its source as if nothing had been."""
        server_id = self.busy_server()
        source, _, migration_id = self.migrate_until_it_copies(server_id)
        self.assertEqual(202, self.abort(server_id, migration_id))
        ended = self.wait_ended(server_id, migration_id)
        self.assertEqual('cancelled', ended['status'])
        self.assert_rests(server_id, source)
        self.assertIn('live_migration_cancel', self.action_names(server_id))

    @decorators.attr(type='negative')
    @decorators.idempotent_id('0c199d27-5b13-4bdc-ac10-347d4988c952')
    def test_abort_too_late(self):
        """What is over cannot be aborted or forced, and nothing changes."""
        server_id = self.create_test_server(wait_until='ACTIVE')['id']
        destination = self.other_host(server_id)
        migration_id = self.migrate(server_id, destination)
        self.wait_ended(server_id, migration_id)
        for ask in (self.abort, self.force_complete):
            self.assertRaises(
                exceptions.BadRequest, ask, server_id, migration_id
            )
        self.assert_rests(server_id, destination)

    @decorators.idempotent_id('a8f57d51-529d-4b01-bb58-f00e344287a1')
    def test_force_complete(self):
        """It ends now, by post-copy or by pausing, as the cloud has it."""
        server_id = self.busy_server()
        _, destination, migration_id = self.migrate_until_it_copies(server_id)
        self.assertEqual(202, self.force_complete(server_id, migration_id))
        ended = self.wait_ended(server_id, migration_id)
        self.assertEqual('completed', ended['status'])
        way = CONF.livemig.force_completes_by
        self.assertEqual(way, ended['completed_by'])
        self.assert_rests(server_id, destination)
        names = self.action_names(server_id)
        self.assertIn('live_migration_force_complete', names)
        self.assertEqual(way == 'pause', 'live-migration-paused-vm' in names)

    @decorators.idempotent_id('d82bc4a8-ae6c-4dfd-bca1-02826734a93a')
    def test_force_end(self):
        """The older action always pauses."""
        server_id = self.busy_server()
        _, destination, migration_id = self.migrate_until_it_copies(server_id)
        self.assertEqual(202, self.act(server_id, 'live-migrate-force-end'))
        ended = self.wait_ended(server_id, migration_id)
        self.assertEqual('completed', ended['status'])
        self.assertEqual('pause', ended['completed_by'])
        self.assert_rests(server_id, destination)
        self.assertIn('live-migration-paused-vm', self.action_names(server_id))

    @decorators.attr(type='negative')
    @decorators.idempotent_id('a2f4d09b-2292-408e-88cb-2fa6e9362d53')
    def test_force_end_of_nothing(self):
        """A server that does not migrate cannot be forced to."""
        server_id = self.create_test_server(wait_until='ACTIVE')['id']
        self.assertRaises(
            exceptions.Conflict, self.act, server_id, 'live-migrate-force-end'
        )

    @decorators.idempotent_id('f28ea9a1-61d1-4feb-9fef-86e92eef1788')
    @testtools.skipUnless(
        CONF.livemig.completion_timeout_s, 'No timeout to wait for'
    )
    def test_timeout(self):
        """Nobody does anything, and the cloud does what it is told to."""
        server_id = self.busy_server()
        source, destination, migration_id = self.migrate_until_it_copies(
            server_id
        )
        ended = self.wait_ended(server_id, migration_id)
        if CONF.livemig.timeout_action == 'abort':
            self.assertEqual('cancelled', ended['status'])
            self.assertIn('timeout', ended['reason'])
            self.assert_rests(server_id, source)
        else:
            self.assertEqual('completed', ended['status'])
            self.assertEqual(
                CONF.livemig.force_completes_by, ended['completed_by']
            )
            self.assert_rests(server_id, destination)


class LiveMigrationRightsTest(base.LiveMigrationTest):
    """Who owns a server has no say in its migration."""

    @decorators.attr(type='negative')
    @decorators.idempotent_id('6583a9c6-0074-42ec-86f6-8d7093ce6b21')
    def test_owner_cannot_force_the_end(self):
        server_id = self.create_test_server(wait_until='ACTIVE')['id']
        self.assertRaises(
            exceptions.Forbidden,
            self.act,
            server_id,
            'live-migrate-force-end',
            client=self.os_primary.servers_client,
        )
