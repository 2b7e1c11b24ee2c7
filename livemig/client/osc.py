"""The openstackclient plug-in: what `openstack` itself lacks for migrations.

The commands are those of `livemig`, with the client's own session: its
options, clouds and environment variables hold. Loaded at each start of
`openstack`, so it imports little.
"""

import argparse
import functools
import logging
from typing import TYPE_CHECKING, Any

from livemig.client import base, connection, errors, migrations
from livemig.client.compute import Compute
from livemig.client.waiting import Clock, SystemClock

if TYPE_CHECKING:
    from osc_lib.clientmanager import ClientManager

LOG = logging.getLogger(__name__)

# What openstackclient wants to know of a plug-in. The API is the compute API,
# which has its own option for the microversion; so this one has none.
API_NAME = 'livemig'
API_VERSION_OPTION = 'os_livemig_api_version'
API_VERSIONS = ('2',)
DEFAULT_API_VERSION = '2'


def build_option_parser(
    parser: argparse.ArgumentParser,
) -> argparse.ArgumentParser:
    return parser


def make_client(instance: 'ClientManager') -> Compute:
    """The compute service of the client's cloud."""
    cloud = instance.sdk_connection
    # openstackclient lets a request wait for ever; who watches must not.
    if cloud.session.timeout is None:
        cloud.session.timeout = connection.ANSWER_TIMEOUT_S
    return Compute(connection.of(cloud.session, cloud.config))


class _Command(base.Operation):
    """A command of `livemig` within `openstack`."""

    #: Asked for by openstackclient, which then authenticates.
    auth_required = True

    abort_words = 'openstack server migration abort'

    @functools.cached_property
    def compute(self) -> Compute:
        # Not client_manager.livemig, which keeps the first one for all
        # clouds of the process.
        app: Any = self.app
        return make_client(app.client_manager)

    @functools.cached_property
    def clock(self) -> Clock:
        return SystemClock()

    def run(self, parsed_args: argparse.Namespace) -> int:
        """The exit code, which is that of `livemig`, where openstackclient
        knows only 1."""
        try:
            return super().run(parsed_args)
        except errors.ClientError as error:
            LOG.debug('The command failed', exc_info=True)
            self.app.LOG.error('%s', error)
            return error.exit_code


class WatchServerMigration(_Command, migrations.WatchMigration):
    __doc__ = migrations.WatchMigration.__doc__


class ForceEndServerMigration(_Command, migrations.ForceEndMigration):
    __doc__ = migrations.ForceEndMigration.__doc__


class ServerMigrationHistory(_Command, migrations.ListMigrations):
    """List migrations with how they ended and why, newest first"""
