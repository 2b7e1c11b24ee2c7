"""Every operation has all it needs; the habits of the API hold."""

from __future__ import annotations

import itertools
import json
import re

import jsonschema
import pytest
import yaml

from livemig import policy
from livemig.api import action, microversion, router
from livemig.api.microversion import Microversion
from livemig.api.operations import OPERATIONS, rules
from tests.functional.api import fixtures
from tests.functional.api.examples import EXAMPLES
from tests.functional.api.test_gabbits import DIRECTORY, FILES

EACH = pytest.mark.parametrize('operation', OPERATIONS, ids=lambda o: o.name)


def test_names_are_unique() -> None:
    names = [operation.name for operation in OPERATIONS]
    assert len(set(names)) == len(names)


@EACH
def test_has_a_summary_and_rules_with_descriptions(operation) -> None:
    assert operation.summary.endswith('.')
    for rule in operation.rules:
        assert re.fullmatch(r'(os_)?compute(_api)?:[a-zA-Z:_-]+', rule.name)
        assert rule.description.endswith('.')
        assert rule.check


@EACH
def test_has_an_example(operation) -> None:
    assert operation.name in EXAMPLES


def test_there_is_no_example_of_nothing() -> None:
    assert set(EXAMPLES) == {operation.name for operation in OPERATIONS}


@EACH
def test_schemas_leave_no_gap(operation) -> None:
    for schemas in (operation.request, operation.query, operation.response):
        versions = [first for first, _ in schemas]
        assert versions == sorted(set(versions))
        for version in versions:
            assert microversion.is_offered(version)
        if versions:
            # The first one is in force when the operation comes to be.
            assert versions[0] <= operation.first
            assert all(first > operation.first for first in versions[1:])


@EACH
def test_schemas_are_schemas(operation) -> None:
    for schemas in (operation.request, operation.query, operation.response):
        for _, schema in schemas:
            jsonschema.Draft202012Validator.check_schema(schema)
            # They can be written into a document.
            assert json.loads(json.dumps(schema)) == schema


@EACH
def test_bodies_and_answers_have_schemas(operation) -> None:
    if operation.method in ('POST', 'PUT'):
        assert operation.request
    else:
        assert not operation.request
    answers = operation.success == 200 or operation.name == 'servers:create'
    if operation.name == 'flavor_extra_specs:delete':
        # In Nova's answer there is nothing, and 200 all the same.
        answers = False
    assert bool(operation.response) == answers


@EACH
def test_versions_are_in_order(operation) -> None:
    assert operation.first <= operation.last
    assert microversion.is_offered(operation.first)


def test_operations_do_not_overlap() -> None:
    def place(operation):
        return (operation.method, operation.path, operation.body_key or '')

    for _, group in itertools.groupby(
        sorted(OPERATIONS, key=lambda o: (place(o), o.first)), place
    ):
        for one, other in itertools.pairwise(group):
            # Neither two at once, nor none in between.
            assert one.last.next == other.first


def test_a_url_has_one_kind_of_body() -> None:
    kinds: dict[tuple[str, str], set[bool]] = {}
    for operation in OPERATIONS:
        kinds.setdefault((operation.method, operation.path), set()).add(
            operation.body_key is None
        )
    assert all(len(kind) == 1 for kind in kinds.values())


@EACH
def test_errors_are_refusals(operation) -> None:
    for code in operation.errors.values():
        assert 400 <= code < 500 or code == 501


def test_rules_say_the_same_everywhere() -> None:
    for name, (rule, asking) in rules().items():
        for operation in asking:
            (found,) = (r for r in operation.rules if r.name == name)
            assert found == rule


def test_every_rule_is_documented() -> None:
    listed = {default.name for default in policy.list_rules()}
    assert listed >= set(rules())
    assert 'context_is_admin' in listed


def test_an_operation_is_found_for_every_version_it_speaks() -> None:
    for operation in OPERATIONS:
        for minor in range(operation.first.minor, 203):
            version = Microversion(2, minor)
            if operation.response:
                assert action.at(operation.response, version) is not None


# -- gabbits ----------------------------------------------------------------
def _gabbi_requests():
    """(method, path, key of the body) of each request of the gabbits."""
    for name in FILES:
        text = (DIRECTORY / f'{name}.yaml').read_text()
        for match in set(re.findall(r"\$ENVIRON\['(\w+)'\]", text)):
            text = text.replace(f"$ENVIRON['{match}']", fixtures.NAMES[match])
        for test in yaml.safe_load(text)['tests']:
            for method in ('GET', 'POST', 'PUT', 'DELETE'):
                if method in test:
                    data = test.get('data') or {}
                    key = next(iter(data), None)
                    status = test.get('status', 200)
                    yield method, test[method].split('?')[0], key, status


def _operations_met(good: bool) -> set[str]:
    mapper = router.route_map(OPERATIONS)
    met = set()
    for method, path, key, status in _gabbi_requests():
        match = mapper.match(path, {'REQUEST_METHOD': method})
        if match is None or (int(status) < 300) is not good:
            continue
        for operation in OPERATIONS:
            url = f'{operation.method} {operation.root}{operation.path}'
            if url == match['key'] and operation.body_key in (None, key):
                met.add(operation.name)
    return met


def test_every_operation_succeeds_in_a_gabbit() -> None:
    assert _operations_met(good=True) == set(EXAMPLES)


def test_every_operation_is_refused_in_a_gabbit() -> None:
    assert _operations_met(good=False) == set(EXAMPLES)
