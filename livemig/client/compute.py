"""The compute API as the commands use it: requests, refusals, versions."""

import contextlib
import functools
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from livemig.client import errors, microversion
from livemig.client.connection import SERVICE_TYPE, Connection

if TYPE_CHECKING:
    import requests
    from keystoneauth1 import discover

Json: TypeAlias = dict[str, Any]

#: Answers of a service, or of a proxy before it, that is not available now.
UNAVAILABLE = frozenset({502, 503, 504})

_ERROR_OF_STATUS: dict[int, type[errors.ClientError]] = {
    401: errors.WrongUse,
    403: errors.Refused,
    404: errors.NotFound,
    409: errors.Refused,
} | dict.fromkeys(UNAVAILABLE, errors.Unreachable)

#: What to do about a 401.
CHECK_CREDENTIALS = (
    'Check the user name, password or token that --os-* options, OS_* '
    'variables or clouds.yaml give.'
)

_SOCKET_ERROR = re.compile(
    r'connection to (?P<url>\S+): .*\[Errno -?\d+\] (?P<why>[^\'")]+)'
)


class Compute:
    """One compute service. Paths are relative to its endpoint (/v2.1)."""

    def __init__(self, connection: Connection) -> None:
        self._adapter = connection.adapter
        self._asked = connection.asked
        self._configured_image_endpoint = connection.image_endpoint

    @functools.cached_property
    def version(self) -> microversion.Microversion:
        """What is spoken with this service.

        :raises ClientError: if there is no version both know.
        :raises Unreachable: if its version document cannot be read.
        """
        return microversion.choose(self._offer(), self._asked)

    def need(self, wanted: str, what: str) -> None:
        """:raises ClientError: if less than *wanted* is spoken."""
        if self.version < microversion.parse(wanted):
            raise errors.ClientError(
                f'{what} needs compute API {wanted} or later; '
                f'{self.version} is spoken with this service.'
            )

    def speaks(self, wanted: str) -> bool:
        return self.version >= microversion.parse(wanted)

    def get(self, path: str, **query: object) -> Json:
        """The document at *path*; None values are left out of the query."""
        return self._request('GET', path, params=_told(query))

    def pages(
        self, path: str, key: str, limit: int | None = None, **query: object
    ) -> Iterator[Json]:
        """All items of a listing, or *limit*, page after page.

        Follows only documents that say that there is more, by the last
        item's marker, so that no foreign URL is ever asked.
        """
        marker = None
        while limit is None or limit > 0:
            page = self.get(path, **query, limit=limit, marker=marker)
            items: list[Json] = page.get(key, [])[:limit]
            yield from items
            if not items or not page.get(f'{key}_links'):
                return
            last = items[-1].get('uuid') or items[-1].get('id')
            if last == marker:
                return
            marker = last
            limit = None if limit is None else limit - len(items)

    def images(self, **query: object) -> Iterator[Json]:
        """All images that fit the query, page after page."""
        marker = None
        while True:
            page = self._images({**query, 'marker': marker})
            images: list[Json] = page.get('images', [])
            yield from images
            if not images or not page.get('next'):
                return
            last = images[-1].get('id')
            if last == marker:
                return
            marker = last

    def _images(self, query: dict[str, object]) -> Json:
        url = f'{self._image_endpoint}/v2/images'
        with _told_as_ours():
            answer: requests.Response = self._adapter.session.request(
                url,
                'GET',
                params=_told(query),
                raise_exc=False,
                headers={'Accept': 'application/json'},
            )
        if answer.status_code in (300, 404):
            raise errors.ClientError(
                f'There is no image service at {self._image_endpoint}; name '
                f'the image by its id (HTTP {answer.status_code}).'
            )
        if answer.status_code >= 300:
            raise _refusal(answer, errors.ClientError)
        return _document(answer)

    @functools.cached_property
    def _image_endpoint(self) -> str:
        """The image service's URL without its version: as configured, as
        the catalog says, else beside this compute API, where livemig has
        its own."""
        compute = str(self._endpoint.url).rstrip('/')
        url = self._configured_image_endpoint or self._listed('image')
        url = url.rstrip('/')
        # Without a catalog all services seem to have one endpoint.
        if url in ('', compute, self._listed(SERVICE_TYPE).rstrip('/')):
            root = re.sub(r'/v2\.1(/[0-9a-f-]+)?$', '', compute)
            return f'{root}/image'
        return re.sub(r'/v2(\.[0-9]+)?$', '', url)

    def _listed(self, service_type: str) -> str:
        """Its endpoint, as the catalog has it; '': it has none."""
        with _told_as_ours():
            url = self._adapter.session.get_endpoint(
                service_type=service_type,
                interface=self._adapter.interface,
                region_name=self._adapter.region_name,
            )
        return url or ''

    def post(self, path: str, body: Json) -> Json:
        return self._request('POST', path, json=body)

    def put(self, path: str, body: Json) -> Json:
        """:raises Refused: also for 400: the body is ours and fits."""
        return self._request(
            'PUT', path, bad_request=errors.Refused, json=body
        )

    def act(self, path: str, name: str, value: object = None) -> None:
        """Do something to an existing thing.

        :raises Refused: also for 400, which says that its state is wrong:
            the body is ours and fits.
        """
        self._request(
            'POST',
            f'{path}/action',
            bad_request=errors.Refused,
            json={name: value},
        )

    def delete(self, path: str) -> None:
        """:raises Refused: also for 400: its state is wrong."""
        self._request('DELETE', path, bad_request=errors.Refused)

    def _request(
        self,
        method: str,
        path: str,
        bad_request: type[errors.ClientError] = errors.ClientError,
        **given: Any,
    ) -> Json:
        version = str(self.version)
        with _told_as_ours():
            answer: requests.Response = self._adapter.request(
                path,
                method,
                microversion=version,
                microversion_service_type=SERVICE_TYPE,
                endpoint_override=self._endpoint.url,
                raise_exc=False,
                headers={'Accept': 'application/json'},
                **given,
            )
        if answer.status_code >= 300:
            raise _refusal(answer, bad_request)
        if not answer.content:
            return {}
        return _document(answer)

    @functools.cached_property
    def _endpoint(self) -> 'discover.EndpointData':
        """The endpoint's URL, and the versions that its document names.

        keystoneauth does not tell why it could not read the document, so
        then the endpoint is asked once more.
        """
        from keystoneauth1 import exceptions

        with _told_as_ours():
            try:
                data = self._adapter.get_endpoint_data()
            except exceptions.DiscoveryFailure:
                data = None
            if data is not None and data.api_version is not None:
                return data
            url = self._adapter.endpoint_override or (
                self._adapter.session.get_endpoint(
                    service_type=self._adapter.service_type,
                    interface=self._adapter.interface,
                    region_name=self._adapter.region_name,
                )
            )
            if url is None:
                raise errors.WrongUse(
                    'The compute service has no endpoint: neither the '
                    'catalog nor the configuration names one.'
                )
            answer = self._adapter.session.request(
                url, 'GET', authenticated=False, raise_exc=False
            )
        if answer.status_code in UNAVAILABLE:
            raise _refusal(answer, errors.ClientError)
        raise errors.ClientError(
            f'There is no compute API at {url}: it has no version document '
            f'for v2.1 (HTTP {answer.status_code}).'
        )

    def _offer(self) -> microversion.Offer:
        """What the version document says; without microversions 2.1."""
        lowest = self._endpoint.min_microversion or microversion.BASE
        highest = self._endpoint.max_microversion or microversion.BASE
        return microversion.Offer(
            microversion.Microversion(int(lowest[0]), int(lowest[1])),
            microversion.Microversion(int(highest[0]), int(highest[1])),
        )


@contextlib.contextmanager
def _told_as_ours() -> Iterator[None]:
    """keystoneauth's errors as ours."""
    from keystoneauth1 import exceptions

    try:
        yield
    except exceptions.ConnectionError as error:
        raise errors.Unreachable(_unreachable(error)) from error
    except exceptions.HttpError as error:
        kind: type[errors.ClientError] = errors.ClientError
        text = f'Cannot authenticate: {error}'
        if error.http_status in UNAVAILABLE:
            kind = errors.Unreachable
        elif error.http_status == 401:
            kind = errors.WrongUse
            text = f'{text.removesuffix(".")}. {CHECK_CREDENTIALS}'
        raise kind(text) from error
    except exceptions.AuthorizationFailure as error:
        raise errors.WrongUse(
            f'Cannot authenticate: {error}. {CHECK_CREDENTIALS}'
        ) from error
    except exceptions.ClientException as error:
        raise errors.ClientError(str(error)) from error


def _unreachable(error: Exception) -> str:
    """Without the three layers of libraries between us and the socket."""
    told = _SOCKET_ERROR.search(str(error))
    if told is None:
        return f'The service cannot be reached: {error}'
    return f'The service at {told["url"]} cannot be reached: {told["why"]}.'


def _refusal(
    answer: 'requests.Response', bad_request: type[errors.ClientError]
) -> errors.ClientError:
    """The service's own words, the status and the request id."""
    status = answer.status_code
    kind = _ERROR_OF_STATUS.get(status, errors.ClientError)
    if status == 400:
        kind = bad_request
    request_id = answer.headers.get(
        'X-OpenStack-Request-Id'
    ) or answer.headers.get('X-Compute-Request-Id')
    told = f'HTTP {status}'
    if request_id:
        told += f', request {request_id}'
    text = f'{_message(answer)} ({told})'
    return kind(f'{text} {CHECK_CREDENTIALS}' if status == 401 else text)


def _message(answer: 'requests.Response') -> str:
    """From a fault body, or from what a router or proxy says instead."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    if isinstance(body, dict):
        faults = [body, *body.values()]
        for fault in faults:
            if isinstance(fault, dict) and fault.get('message'):
                return str(fault['message'])
    return answer.reason or 'The service refuses without saying why.'


def _document(answer: 'requests.Response') -> Json:
    try:
        document = answer.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise errors.ClientError(
            f'{answer.url} answers with something else than a JSON '
            f'object; is it a compute API? (HTTP {answer.status_code})'
        )
    return document


def _told(query: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in query.items() if value is not None}
