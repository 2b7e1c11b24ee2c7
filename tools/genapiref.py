#!/usr/bin/env python3
"""Writes the tables of the API's reference out of the operations' records.

python tools/genapiref.py             # write the tables
python tools/genapiref.py --check     # exit code 1 if one is out of date
python tools/genapiref.py --examples  # ask anew what the examples show
"""

import http
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from livemig import concurrency  # noqa: E402

# Before anything imports oslo.messaging.
concurrency.setup()

import apitables  # noqa: E402

from livemig import policy  # noqa: E402
from livemig.api import meanings, openapi  # noqa: E402
from livemig.api.action import COMMON_ERRORS, Operation  # noqa: E402
from livemig.api.meanings import refusals  # noqa: E402
from livemig.api.operations import OPERATIONS  # noqa: E402

DIRECTORY = ROOT / 'doc/source/api-ref'
#: Seen from a page.
EXAMPLES = '../../../api-ref/examples'

_HEAD = """\
.. Written by tools/genapiref.py out of the records in livemig/api.
   Do not edit: change the records, or the words in livemig/api/meanings,
   and run the script.
"""

_MIGRATING = ('servers:migrate_live', 'servers:force_end')


def _of(*resources: str) -> Callable[[Operation], bool]:
    return lambda one: one.name.partition(':')[0] in resources


#: Page -> which operations it is about; each is on one.
PAGES: dict[str, Callable[[Operation], bool]] = {
    'live-migration': lambda one: (
        one.name in _MIGRATING or _of('server_migrations')(one)
    ),
    'migrations': _of('migrations'),
    'servers': lambda one: _of('servers')(one) and one.body_key is None,
    'server-actions': lambda one: (
        _of('servers')(one)
        and one.body_key is not None
        and one.name not in _MIGRATING
    ),
    'server-metadata': _of('server_metadata'),
    'instance-actions': _of('instance_actions'),
    'services': _of('services'),
    'hypervisors': _of('hypervisors'),
    'flavors': _of('flavors', 'flavor_extra_specs', 'flavor_access'),
    'images': _of('images'),
    'zones': _of('zones'),
    'limits': _of('limits', 'quotas'),
    'nothing': _of('aggregates', 'server_groups', 'keypairs'),
    'versions': _of('versions', 'extensions'),
}


def render() -> dict[str, str]:
    """The text of each generated file, by name."""
    return {
        'operations.inc': _overview(),
        **{f'{page}.inc': _page(page) for page in PAGES},
    }


def operations_of(page: str) -> list[Operation]:
    """In the order of a migration's life where it is about that."""
    found = [one for one in OPERATIONS if PAGES[page](one)]
    if page == 'live-migration':
        found.sort(key=lambda one: _MIGRATING[:1] != (one.name,))
        found.sort(key=lambda one: one.name == _MIGRATING[1])
    return found


def _anchor(operation: Operation) -> str:
    return 'api-' + operation.name.replace(':', '-').replace('_', '-')


# -- the overview -----------------------------------------------------------
def _overview() -> str:
    """All operations with links, and what all may be refused with."""
    rows = [['method', 'path', 'what it does']]
    for page in PAGES:
        for one in operations_of(page):
            key = f' ``{one.body_key}``' if one.body_key else ''
            title = one.summary.removesuffix('.')
            rows.append(
                [
                    one.method,
                    f'``{one.root}{one.path}``{key}',
                    f':ref:`{title} <{_anchor(one)}>`',
                ]
            )
    codes = [
        ['code', 'when'],
        *([str(code), when] for code, when in refusals.COMMON.items()),
    ]
    return '\n'.join(
        [
            _HEAD,
            *_title('All operations'),
            *apitables.table(rows, (10, 50, 40)),
            '',
            *_title('Any of them may be refused'),
            *apitables.table(codes, (10, 90)),
            '',
        ]
    )


def _title(text: str) -> list[str]:
    return [text, '=' * len(text), '']


# -- one page ---------------------------------------------------------------
def _page(page: str) -> str:
    lines = [_HEAD]
    shown: Shown = {}
    for one in operations_of(page):
        lines += _operation(one, shown)
    return '\n'.join(lines)


def _operation(one: Operation, shown: 'Shown') -> Iterator[str]:
    title = one.summary.removesuffix('.')
    yield from (f'.. _{_anchor(one)}:', '', *_title(title))
    yield from ('.. code-block:: text', '')
    yield from (f'   {one.method} {one.root}{one.path}', '')
    if one.description:
        yield from (one.description, '')
    yield from _facts(one)
    yield from _request(one, shown)
    yield from _answer(one, shown)
    yield from _refused(one)
    yield from _example(one)


def _facts(one: Operation) -> Iterator[str]:
    if one.body_key:
        value = 'null' if _is_bare(one) else '{...}'
        yield f':Body: ``{{"{one.body_key}": {value}}}``'
    versions = apitables.versions(one.first, one.last)
    if versions and one.is_versioned:
        yield f':Versions: {versions}'
    rules = [_rule(one.policy)]
    rules += [
        f'to {_lower(rule.description)}: {_rule(rule)}'
        for rule in one.more_policies
    ]
    if len(rules) == 1:
        yield f':Rights: {rules[0]}'
    else:
        yield from (':Rights:', *(f'   - {rule}' for rule in rules))
    code = one.success
    yield from (f':Success: {code} {http.HTTPStatus(code).phrase}', '')


def _is_bare(one: Operation) -> bool:
    """Nothing stands under the body's key."""
    return all(
        schema in ({}, {'type': 'null'}) for _first, schema in one.request
    )


def _lower(text: str) -> str:
    return f'{text[0].lower()}{text[1:]}'.removesuffix('.')


#: Default check strings as people say them.
_WHO = {
    'rule:context_is_admin': 'admin',
    'rule:project_manager_or_admin': "manager of the server's project, admin",
    'rule:project_member_or_admin': 'member of the project, admin',
    'rule:project_reader_or_admin': 'reader of the project, admin',
    '@': 'everybody',
}


def _rule(rule: policy.Rule) -> str:
    who = _WHO.get(rule.check, f'``{rule.check}``')
    return f'``{rule.name}`` ({who})'


Shown = dict[tuple[tuple[str, ...], ...], Operation]


def _table(
    one: Operation,
    rows: list[list[str]],
    widths: tuple[int, ...],
    shown: Shown,
) -> Iterator[str]:
    """:param shown: longer tables that are on the page already."""
    before = shown.setdefault(tuple(map(tuple, rows)), one)
    if before is not one and len(rows) > 4:
        title = before.summary.removesuffix('.')
        yield f'The same as of :ref:`{title} <{_anchor(before)}>`.'
    else:
        yield from apitables.table(rows, widths)
    yield ''


def _request(one: Operation, shown: Shown) -> Iterator[str]:
    rows = [
        [f'``{name}``', 'path', apitables.type_of(schema), '', words]
        for name in apitables.variables(one.path)
        for schema, words in [openapi.PATH_VARIABLES[name]]
    ]
    for kind, where, since in (
        (meanings.QUERY, 'query', one.query),
        (meanings.REQUEST, 'body', one.request),
    ):
        rows += [
            [row.title(kind), where, row.type, row.versions, row.meaning]
            for row in apitables.fields(one, kind, since)
        ]
    if rows:
        head = ['name', 'in', 'type', 'versions', 'meaning']
        yield from ('.. rubric:: Request', '')
        yield from _table(one, [head, *apitables.joined(rows)],
                          (20, 7, 18, 12, 43), shown)  # fmt: skip


def _answer(one: Operation, shown: Shown) -> Iterator[str]:
    if not one.response:
        return
    yield from ('.. rubric:: Answer', '')
    fields = apitables.fields(one, meanings.RESPONSE, one.response)
    head = ['name', 'type', 'versions', 'meaning']
    for heading, part in apitables.parts(fields):
        rows = [
            [row.title(meanings.RESPONSE), row.type, row.versions, row.meaning]
            for row in part
        ]
        if heading:
            yield from (heading, '')
        yield from _table(one, [head, *apitables.joined(rows)],
                          (25, 20, 15, 40), shown)  # fmt: skip


def _refused(one: Operation) -> Iterator[str]:
    """One row a code; several reasons are a list."""
    reasons: dict[int, list[str]] = {}
    for error, code in one.errors.items():
        if error not in COMMON_ERRORS:
            reasons.setdefault(code, []).append(refusals.refusal(error, one))
    rows = [['code', 'when']]
    for code, told in sorted(reasons.items()):
        mark = '- ' if told[1:] else ''
        rows.append([str(code), '\n'.join(f'{mark}{text}' for text in told)])
    if reasons:
        yield from ('.. rubric:: Refused', '')
        yield from apitables.table(rows, (10, 90))
        yield ''


def _example(one: Operation) -> Iterator[str]:
    file = f'{EXAMPLES}/{one.name.replace(":", "-")}.txt'
    yield from ('.. rubric:: Example', '')
    for border in ('end-before', 'start-after'):
        yield f'.. literalinclude:: {file}'
        yield from ('   :language: http', f'   :{border}: ----', '')


# -- the script -------------------------------------------------------------
def record_examples() -> None:
    """Needs what the tests need."""
    from tests.functional.api import recorded

    recorded.DIRECTORY.mkdir(exist_ok=True)
    files = {recorded.file_of(one): one for one in OPERATIONS}
    for file in set(recorded.DIRECTORY.iterdir()) - files.keys():
        file.unlink()
    for file, one in files.items():
        file.write_text(recorded.record(one), 'utf-8')


def main(words: list[str]) -> int:
    if words == ['--check']:
        stale = [
            name
            for name, text in render().items()
            if not (DIRECTORY / name).is_file()
            or (DIRECTORY / name).read_text('utf-8') != text
        ]
        for name in stale:
            print(f'{DIRECTORY / name} is out of date: run '
                  'tools/genapiref.py.')  # fmt: skip
        return 1 if stale else 0
    if words not in ([], ['--examples']):
        print(__doc__)
        return 2
    for name, text in render().items():
        (DIRECTORY / name).write_text(text, 'utf-8')
    if words:
        record_examples()
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
