"""Finds the one thing that a word on the command line means."""

import re
import urllib.parse
import uuid

from livemig.client import errors
from livemig.client.compute import Compute, Json
from livemig.client.progress import FINAL

_REGEX_LETTER = re.compile(r'[\\.^$*+?{}\[\]|()]')


def server_uuid(compute: Compute, server: str) -> str:
    """The uuid of the server with that uuid or exactly that name.

    A uuid is taken as it is: the service says itself if there is none, and
    the actions of a deleted server can still be asked for.

    :raises NotFound: if no server has that name.
    :raises WrongUse: if several have.
    """
    if _is_uuid(server):
        return server.lower()
    found = [
        candidate
        for candidate in _servers_named(compute, server)
        if candidate['name'] == server
    ]
    if not found:
        raise errors.NotFound(f'No server is named "{server}".')
    if len(found) > 1:
        uuids = ', '.join(sorted(str(one['id']) for one in found))
        raise errors.WrongUse(
            f'Several servers are named "{server}": {uuids}. '
            f'Name one by its uuid.'
        )
    return str(found[0]['id'])


def server(compute: Compute, uuid: str) -> Json:
    """What the service tells of a server.

    :raises NotFound: if there is none.
    """
    told: Json = compute.get(f'/servers/{uuid}')['server']
    return told


def why_error(server: Json) -> str:
    """Why a server is in status ERROR, as the service tells it."""
    fault = server.get('fault') or {}
    reason = fault.get('message') or 'the service gives no reason'
    return f'Server {server["id"]} is in status ERROR: {reason}'


def flavor_id(compute: Compute, flavor: str) -> str:
    """The id of the flavor with that id or exactly that name; ids first.

    :raises NotFound: if there is none.
    :raises WrongUse: if several have that name.
    """
    flavors = list(compute.pages('/flavors', 'flavors', is_public='None'))
    if any(flavor == one['id'] for one in flavors):
        return flavor
    named = [str(one['id']) for one in flavors if one['name'] == flavor]
    if not named:
        raise errors.NotFound(f'No flavor has the id or name "{flavor}".')
    if len(named) > 1:
        raise errors.WrongUse(
            f'Several flavors are named "{flavor}": {", ".join(named)}. '
            f'Name one by its id.'
        )
    return named[0]


def image_id(compute: Compute, image: str) -> str:
    """The id of the image with that id or exactly that name.

    A uuid is taken as it is: so no image service is needed.

    :raises NotFound: if there is none.
    :raises WrongUse: if several have that name.
    """
    if _is_uuid(image):
        return image.lower()
    named = [
        str(one['id'])
        for one in compute.images(name=image)
        if one['name'] == image
    ]
    if not named:
        raise errors.NotFound(f'No image is named "{image}".')
    if len(named) > 1:
        raise errors.WrongUse(
            f'Several images are named "{image}": {", ".join(named)}. '
            f'Name one by its id.'
        )
    return named[0]


def migration_in_progress(compute: Compute, server: str) -> int:
    """The id of the one live migration of a server that is in progress.

    :param server: its uuid
    :raises NotFound: if there is none.
    :raises WrongUse: if there are several; they are named.
    """
    going_on = compute.get(f'/servers/{server}/migrations')['migrations']
    if not going_on:
        # Accepted ones are in this list only, and before 2.202 also those
        # in post-copy.
        going_on = [
            row
            for row in migrations_of(compute, server)
            if row['status'] not in FINAL
        ]
    if not going_on:
        raise errors.NotFound(
            f'No live migration of server {server} is in progress.'
        )
    if len(going_on) > 1:
        ids = ', '.join(
            f'{row["id"]} ({row["status"]})'
            for row in sorted(going_on, key=lambda row: int(row['id']))
        )
        raise errors.WrongUse(
            f'Several live migrations of server {server} are in progress: '
            f'{ids}. Name one.'
        )
    return int(going_on[0]['id'])


def migrations_of(compute: Compute, server: str) -> list[Json]:
    """All live migrations of a server, ended ones too; newest first.

    :param server: its uuid
    """
    return list(
        compute.pages(
            '/os-migrations',
            'migrations',
            instance_uuid=server,
            migration_type='live-migration',
        )
    )


def quoted(word: str) -> str:
    """A word from the command line as one segment of a path."""
    return urllib.parse.quote(word, safe='')


def _servers_named(compute: Compute, name: str) -> list[Json]:
    """Servers whose name contains it: of all projects where permitted.

    The filter is a regular expression; only letters with a meaning there
    are escaped, since databases differ in what they let be escaped.
    """
    pattern = _REGEX_LETTER.sub(lambda letter: '\\' + letter[0], name)
    try:
        return list(
            compute.pages(
                '/servers', 'servers', name=pattern, all_tenants=True
            )
        )
    except errors.Refused:
        return list(compute.pages('/servers', 'servers', name=pattern))


def _is_uuid(word: str) -> bool:
    try:
        return str(uuid.UUID(word)) == word.lower()
    except ValueError:
        return False
