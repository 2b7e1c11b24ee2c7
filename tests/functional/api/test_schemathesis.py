"""Whatever the description of the API lets a client send, and some of what
it does not, is answered as it says: with a code it names and a body of that
form, and never by an error of the server."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from livemig.api import action, openapi
from livemig.api.action import Operation
from livemig.api.microversion import LATEST, Microversion
from livemig.api.operations import OPERATIONS
from tests.functional.api.examples import EXAMPLES
from tests.functional.api.world import IMAGE, World

with warnings.catch_warnings():
    # Its libraries' own business.
    warnings.simplefilter('ignore')
    import schemathesis
    from schemathesis import GenerationMode
    from schemathesis.checks import CHECKS, load_all_checks
    from schemathesis.config import SchemathesisConfig

    load_all_checks()

_CHECKS = CHECKS.get_by_names(
    [
        'not_a_server_error',
        'status_code_conformance',
        'content_type_conformance',
        'response_headers_conformance',
        'response_schema_conformance',
        # What breaks a schema is refused.
        'negative_data_rejection',
    ]
)

#: How what breaks a schema is refused. 413: it breaks it by its length.
_REFUSED = {
    'checks': {
        'negative_data_rejection': {
            'expected-statuses': ['400', '404', '405', '409', '413']
        }
    }
}

#: Requests of each kind that an operation is sent.
EXAMPLES_EACH = 12

#: Values that name something; what is generated never would.
_KNOWN = {
    'flavorRef': '1',
    'imageRef': IMAGE,
    'rescue_image_ref': IMAGE,
    'binary': 'nova-compute',
    'host': 'host2',
    'networks': 'none',
}

each = pytest.mark.parametrize('record', OPERATIONS, ids=lambda o: o.name)

#: Older versions whose shapes differ from each other's: the oldest, the last
#: before ids of services became uuids, and Nova's newest.
OLDER = (Microversion(2, 1), Microversion(2, 52), Microversion(2, 100))


def _shapes(record: Operation, version: Microversion) -> list[Any]:
    return [
        action.at(since, version)
        for since in (record.request, record.query, record.response)
    ]


#: (operation, version): it was there, and looked as it does no more.
BEFORE = [
    pytest.param(record, version, id=f'{record.name}-{version}')
    for version in OLDER
    for record in OPERATIONS
    if record.is_versioned
    and record.speaks(version)
    and _shapes(record, version) != _shapes(record, record.last)
]


@pytest.fixture
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


def described(
    world: World, record: Operation, version: Microversion = LATEST
) -> Any:
    """That operation alone, as the description has it."""
    document = openapi.document([record], version)
    document['servers'] = [{'url': record.root}]
    schema = schemathesis.openapi.from_dict(
        document, config=SchemathesisConfig.from_dict(_REFUSED)
    )
    schema.app = world.app
    return schema[record.path][record.method]


def variables(record: Operation) -> dict[str, str]:
    """What the path's variables are in the operation's example."""
    pattern = re.sub(r'\{(\w+)\}', r'(?P<\1>[^/]+)', record.path)
    found = re.fullmatch(pattern, EXAMPLES[record.name].url.split('?')[0])
    assert found is not None
    return found.groupdict()


def header(version: Microversion) -> dict[str, str]:
    return {'OpenStack-API-Version': f'compute {version}'}


def known(body: Any) -> Any:
    """The body with real names where names stand."""
    if isinstance(body, list):
        return [known(one) for one in body]
    if not isinstance(body, dict):
        return body
    return {
        key: _KNOWN[key] if key in _KNOWN else known(value)
        for key, value in body.items()
    }


def sent(case: Any) -> int:
    """Send it; what comes back is as described."""
    answer = case.call()
    case.validate_response(answer, checks=_CHECKS)
    return int(answer.status_code)


@each
def test_a_good_request_succeeds(world: World, quiet, record) -> None:
    example = EXAMPLES[record.name]
    body = {} if example.body is None else {'body': example.body}
    case = described(world, record).Case(
        path_parameters=variables(record),
        headers=header(record.last),
        media_type='application/json',
        **body,
    )
    assert sent(case) == record.success


def ask_much(
    world: World,
    record: Operation,
    version: Microversion,
    mode: GenerationMode,
) -> None:
    """Requests of that kind, some with real names and ids in them."""
    operation = described(world, record, version)
    fixed = {'headers': header(version), 'generation_mode': mode}
    cases = operation.as_strategy(**fixed)
    if variables(record) and mode is GenerationMode.POSITIVE:
        cases = st.one_of(
            operation.as_strategy(**fixed, path_parameters=variables(record)),
            cases,
        )

    @hypothesis.given(case=cases, real_names=st.booleans())
    @hypothesis.settings(
        max_examples=EXAMPLES_EACH,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    def ask(case: Any, real_names: bool) -> None:
        if real_names:
            case.body = known(case.body)
        sent(case)

    ask()


@each
@pytest.mark.parametrize('mode', GenerationMode, ids=lambda m: m.value)
def test_any_request_is_answered_as_described(
    world: World, quiet, record, mode
) -> None:
    ask_much(world, record, record.last, mode)


@pytest.mark.parametrize(('record', 'version'), BEFORE)
def test_so_it_is_at_older_versions(
    world: World, quiet, record, version
) -> None:
    ask_much(world, record, version, GenerationMode.POSITIVE)
