"""Who is asked and as whom: openstacksdk's configuration, made a session.

The libraries are imported when they are used: `livemig --help` needs none.
"""

import argparse
import getpass
import logging
import sys
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

from livemig.client import errors, microversion

if TYPE_CHECKING:
    from keystoneauth1.adapter import Adapter
    from keystoneauth1.session import Session
    from openstack.config.cloud_region import CloudRegion

SERVICE_TYPE = 'compute'

#: How long one answer may take, in seconds, where clouds.yaml and
#: OS_API_TIMEOUT do not say otherwise. Below microversion 2.34 a live
#: migration is answered only after both pre-checks, hence so long.
ANSWER_TIMEOUT_S = 180

#: Configured versions that leave the choice to us.
_NEWEST = frozenset({'2', '2.0', 'latest', '2.latest'})


class Option(NamedTuple):
    """A global option; its environment variable is OS_ and its name."""

    name: str
    help: str
    metavar: str = 'NAME'


#: Every other setting, and the options of other auth plug-ins, can be given
#: in clouds.yaml or as OS_* environment variables.
OPTIONS = (
    Option('os-cloud', 'cloud of clouds.yaml to talk to'),
    Option(
        'os-auth-type',
        'how to authenticate: password, token, v3applicationcredential, '
        'http_basic, none, ... (default: password)',
        'TYPE',
    ),
    Option('os-endpoint', 'compute API, with http_basic and none', 'URL'),
    Option('os-username', 'user to authenticate as'),
    Option(
        'os-password',
        'their password; rather in clouds.yaml or OS_PASSWORD, since '
        'others on this machine can read command lines',
        'PASSWORD',
    ),
    Option('os-auth-url', 'Keystone', 'URL'),
    Option('os-token', 'token, with --os-auth-type token', 'TOKEN'),
    Option('os-project-name', 'project to act in'),
    Option('os-project-id', 'the same by id', 'ID'),
    Option('os-user-domain-name', 'domain of the user'),
    Option('os-project-domain-name', 'domain of the project'),
    Option('os-region-name', 'region whose compute API to use'),
    Option('os-interface', 'endpoint: public, internal or admin', 'TYPE'),
    Option('os-cacert', 'bundle of certificates to trust', 'FILE'),
    Option(
        'os-compute-api-version',
        f'microversion to speak, for instance 2.60 (default: the newest '
        f'that the service offers, at most {microversion.KNOWN})',
        'VERSION',
    ),
)


class Connection(NamedTuple):
    """A way to the compute API.

    ``asked`` is the microversion that was configured, if any;
    ``image_endpoint`` the image service's URL, if it has one of its own.
    """

    adapter: 'Adapter'
    asked: microversion.Microversion | None
    image_endpoint: str | None = None


def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('connection')
    for option in OPTIONS:
        group.add_argument(
            f'--{option.name}',
            metavar=option.metavar,
            help=option.help,
        )
    group.add_argument(
        '--insecure',
        action='store_true',
        default=None,
        help='do not verify the certificate of the service',
    )


def connect(options: argparse.Namespace) -> Connection:
    """A session for what options, OS_* variables and clouds.yaml say.

    No request is made yet.

    :raises WrongUse: if what they say is incomplete or wrong.
    """
    import keystoneauth1.exceptions
    import openstack.config
    import openstack.exceptions

    # It tells at warning level what is told here as an error anyway.
    logging.getLogger('keystoneauth.discovery').setLevel(logging.ERROR)
    try:
        # openstacksdk warns of what it will remove from itself one day.
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', DeprecationWarning)
            warnings.simplefilter('ignore', PendingDeprecationWarning)
            config = openstack.config.OpenStackConfig(
                app_name='livemig',
                # A password that is missing is asked for, of a person only.
                pw_func=_ask_password if sys.stdin.isatty() else None,
            )
            region = config.get_one(argparse=_given(options))
        region.config['api_timeout'] = float(
            region.config.get('api_timeout') or ANSWER_TIMEOUT_S
        )
        session = region.get_session()
    except (
        keystoneauth1.exceptions.ClientException,
        openstack.exceptions.SDKException,
        OSError,
        ValueError,
    ) as error:
        raise errors.WrongUse(
            f'Cannot authenticate: {error} (see "livemig --help": give '
            f'--os-cloud, OS_* variables or --os-* options)'
        ) from error
    return of(session, region)


def of(session: 'Session', region: 'CloudRegion') -> Connection:
    """The compute API of a cloud.

    :raises WrongUse: if the microversion configured is none.
    """
    from keystoneauth1.adapter import Adapter

    return Connection(
        Adapter(
            session,
            service_type=SERVICE_TYPE,
            interface=region.get_interface(SERVICE_TYPE),
            region_name=region.get_region_name(SERVICE_TYPE),
            endpoint_override=region.get_endpoint(SERVICE_TYPE),
            min_version='2.1',
            max_version='2.latest',
        ),
        _asked(region),
        _image_endpoint(region),
    )


def _ask_password(prompt: str | None = None) -> str:
    return getpass.getpass(prompt or 'Password: ')


def _image_endpoint(region: Any) -> str | None:
    """As it is configured. Where all services have the endpoint that is
    given for the compute API (none, http_basic), that is no answer."""
    url = region.get_endpoint('image')
    if url is None or url == region.get_endpoint(SERVICE_TYPE):
        return None
    return str(url)


def _given(options: argparse.Namespace) -> argparse.Namespace:
    """Only our own options: a command's --host is no configuration."""
    names = [option.name.replace('-', '_') for option in OPTIONS]
    return argparse.Namespace(
        **{name: getattr(options, name) for name in [*names, 'insecure']}
    )


def _asked(region: Any) -> microversion.Microversion | None:
    """The configured microversion; "2" is the major version: newest.

    Read as it was given: openstacksdk's own reading drops what is no number
    without a word, and a mistyped version would mean the newest.

    :raises WrongUse: if it is none.
    """
    asked = str(
        region.get_default_microversion(SERVICE_TYPE)
        or region.config.get('compute_api_version')
        or '2'
    )
    if asked in _NEWEST:
        return None
    return microversion.parse(asked)
