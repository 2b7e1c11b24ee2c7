"""What an operation of the API is: one record each, and what a call is.

All else is derived from the records: the route map and its 404s, policy
defaults and sample, validation, and the tests that walk all operations.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from oslo_config import cfg

from livemig import catalogue, concurrency, context, exception, policy
from livemig.api import microversion, validation
from livemig.api.links import API_ROOT
from livemig.api.microversion import Microversion
from livemig.api.validation import Schema
from livemig.compute.rpcapi import ComputeAPI
from livemig.conductor.rpcapi import ConductorAPI

if TYPE_CHECKING:
    from livemig.api.links import Links
    from livemig.objects.store import Store
    from livemig.policy import Rule

#: A schema from each of these versions on, in order; there can be no gap.
Since = tuple[tuple[Microversion, Schema], ...]
Errors = Mapping[type[exception.LivemigError], int]

#: What any operation may meet.
COMMON_ERRORS: Errors = {
    validation.InvalidInput: 400,
    policy.Denied: 403,
    exception.BrokerUnreachable: 503,
    exception.DatabaseUnreachable: 503,
    exception.ReplyTimeout: 503,
    exception.CatalogueError: 503,
}


@dataclasses.dataclass(frozen=True)
class App:
    """What handlers work with; made once, at the start."""

    conf: cfg.ConfigOpts
    store: Store
    policy: policy.Enforcer
    compute: ComputeAPI
    conductor: ConductorAPI
    catalogue: catalogue.Catalogue
    clock: concurrency.Clock


@dataclasses.dataclass(frozen=True)
class Call:
    """One request of one operation, checked by its schemas.

    :ivar version: the version it speaks, never between 2.100 and 2.200.
    :ivar path: the variables of the path, as text.
    :ivar query: a text for each parameter, or a list of texts.
    :ivar body: the whole body, or under a body_key what stands there.
    """

    app: App
    operation: Operation
    context: context.RequestContext
    version: Microversion
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Any
    links: Links

    def since(self, major: int, minor: int) -> bool:
        """Whether this request speaks at least that version."""
        return self.version >= Microversion(major, minor)

    def authorize(self, target: Mapping[str, Any] | None = None) -> None:
        """The operation's own rule. :raises Denied:"""
        self.app.policy.authorize(self.context, self.operation.policy, target)

    def may(
        self, rule: policy.Rule, target: Mapping[str, Any] | None = None
    ) -> bool:
        return self.app.policy.may(self.context, rule, target)


@dataclasses.dataclass(frozen=True)
class Answer:
    """A handler's answer, where it is more than a body."""

    body: Any = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


Handler = Callable[[Call], Any]


@dataclasses.dataclass(frozen=True)
class Operation:
    """One operation of the API.

    :ivar name: unique; ``resource:verb``.
    :ivar path: below ``root``; ``{name}`` stands for one segment.
    :ivar root: only the compute API itself knows projects in its URLs,
        and microversions.
    :ivar body_key: where several operations share one URL: the only key of
        the body; schemas and handlers are given what stands under it.
    :ivar policy: the rule asked first; ``more_policies`` are asked too.
    :ivar request: schemas of the body; none: a body is not looked at.
    :ivar query: schemas of the query; none: it is not looked at.
    :ivar response: schemas of the answer; none: it has no body.
    :ivar errors: domain error -> status code, over COMMON_ERRORS.
    :ivar description: what people must know beyond the summary.
    """

    name: str
    method: str
    path: str
    summary: str
    handler: Handler
    policy: Rule
    success: int
    root: str = API_ROOT
    body_key: str | None = None
    first: Microversion = microversion.FIRST
    last: Microversion = microversion.LATEST
    more_policies: tuple[Rule, ...] = ()
    request: Since = ()
    query: Since = ()
    response: Since = ()
    errors: Errors = dataclasses.field(default_factory=dict)
    description: str = ''

    @property
    def is_versioned(self) -> bool:
        return self.root == API_ROOT

    @property
    def rules(self) -> tuple[Rule, ...]:
        return (self.policy, *self.more_policies)

    def speaks(self, version: Microversion) -> bool:
        return self.first <= version <= self.last

    def code_of(self, error: Exception) -> int | None:
        """The status code of a domain error; None: nobody foresaw it."""
        for kind in type(error).__mro__:
            for errors in (self.errors, COMMON_ERRORS):
                if kind in errors:
                    return errors[kind]
        return None


def at(schemas: Since, version: Microversion) -> Schema | None:
    """The schema in force at a version."""
    found = None
    for first, schema in schemas:
        if first <= version:
            found = schema
    return found


def always(schema: Schema) -> Since:
    """One schema, the same at all versions."""
    return ((microversion.FIRST, schema),)
