"""Decides who may do what: oslo.policy with the rules of the operations."""

from __future__ import annotations

import dataclasses
import glob
import importlib
import os
from collections.abc import Iterable, Mapping
from typing import Any

from oslo_config import cfg
from oslo_log import log
from oslo_policy import policy

from livemig import concurrency, context, exception

LOG = log.getLogger(__name__)

# Check strings. A server rule's target is the server's project.
ADMIN = 'rule:context_is_admin'
MANAGER_OR_ADMIN = 'rule:project_manager_or_admin'
MEMBER_OR_ADMIN = 'rule:project_member_or_admin'
READER_OR_ADMIN = 'rule:project_reader_or_admin'
ANY_USER = '@'


class Denied(exception.LivemigError):
    """This user may not do that."""

    template = 'Policy does not allow {rule} to be performed.'


@dataclasses.dataclass(frozen=True)
class Rule:
    """One right: its name, who has it by default, and what it is for."""

    name: str
    check: str
    description: str


def _persona(role: str) -> tuple[Rule, Rule]:
    return (
        Rule(
            f'project_{role}_api',
            f'role:{role} and project_id:%(project_id)s',
            f'A {role} of the project that is asked about.',
        ),
        Rule(
            f'project_{role}_or_admin',
            f'rule:project_{role}_api or rule:context_is_admin',
            f'A {role} of the project that is asked about, or an admin.',
        ),
    )


BASE_RULES: tuple[Rule, ...] = (
    Rule('context_is_admin', 'role:admin', 'Who is an administrator.'),
    *_persona('manager'),
    *_persona('member'),
    *_persona('reader'),
    # No rule of livemig's needs these; files that were written for Nova do.
    Rule('admin_api', ADMIN, 'The older name of context_is_admin.'),
    Rule(
        'admin_or_owner',
        'rule:context_is_admin or project_id:%(project_id)s',
        'Anybody of the project that is asked about, or an admin.',
    ),
    Rule('service_api', 'role:service', 'Another service.'),
    Rule(
        'service_or_admin',
        'rule:service_api or rule:context_is_admin',
        'Another service, or an admin.',
    ),
)


def base_defaults() -> list[policy.RuleDefault]:
    return [
        policy.RuleDefault(rule.name, rule.check, rule.description)
        for rule in BASE_RULES
    ]


def list_rules() -> list[policy.RuleDefault]:
    """All rules, for oslopolicy-sample-generator."""
    return [*base_defaults(), *_operations().documented_rules()]


def get_enforcer() -> policy.Enforcer:
    """An enforcer of the configured files, for oslopolicy-policy-generator
    and its kind.

    They have read their command line into the global CONF, --config-file
    and --config-dir too; without these livemig's own files count.
    """
    conf = cfg.CONF
    conf(
        [],
        project='livemig',
        default_config_files=_named(conf, 'config_file') or _config_files(),
        default_config_dirs=_named(conf, 'config_dir'),
    )
    enforcer = policy.Enforcer(conf)
    enforcer.register_defaults(list_rules())
    return enforcer


def _named(conf: cfg.ConfigOpts, option: str) -> list[str] | None:
    """What the command line named; None: nothing, or there was none."""
    try:
        return list(conf[option] or ()) or None
    except cfg.NoSuchOptError:
        return None


def _operations() -> Any:
    # By name: the generators need the operations' rules, while in the
    # service it is the API that imports this module.
    return importlib.import_module('livemig.api.operations')


def _config_files() -> list[str]:
    found: list[str] = cfg.find_config_files(project='livemig')
    return found


class Enforcer:
    """Asks oslo.policy; a broken policy file leaves the last good rules.

    oslo.policy itself raises ValueError from every question for as long as
    a file is broken. So its enforcers are frozen here after loading, and a
    changed file is loaded into a new one, which takes the place of the old
    one only if it could be read.
    """

    def __init__(
        self, conf: cfg.ConfigOpts, rules: Iterable[policy.RuleDefault]
    ) -> None:
        """:raises ConfigurationError: the files are broken at the start."""
        self._conf = conf
        self._rules = list(rules)
        self._lock = concurrency.Lock()
        # This registers the options that say which files there are.
        self._enforcer = policy.Enforcer(conf)
        self._stamp = self._read_stamp()
        try:
            self._enforcer = self._load()
        except Exception as error:
            raise exception.ConfigurationError(
                option='[oslo_policy] policy_file', reason=str(error)
            ) from error

    def is_admin(self, ctxt: context.RequestContext) -> bool:
        """Whether ``context_is_admin`` holds for this user."""
        return self._ask('context_is_admin', ctxt, {})

    def may(
        self,
        ctxt: context.RequestContext,
        rule: Rule,
        target: Mapping[str, Any] | None = None,
    ) -> bool:
        """Whether this user has that right.

        :param target: by default the user's own project and self.
        """
        if target is None:
            target = {
                'project_id': ctxt.project_id,
                'user_id': ctxt.user_id,
            }
        return self._ask(rule.name, ctxt, target)

    def authorize(
        self,
        ctxt: context.RequestContext,
        rule: Rule,
        target: Mapping[str, Any] | None = None,
    ) -> None:
        """:raises Denied:"""
        if not self.may(ctxt, rule, target):
            raise Denied(rule=rule.name)

    def _ask(
        self,
        name: str,
        ctxt: context.RequestContext,
        target: Mapping[str, Any],
    ) -> bool:
        self._reload_if_changed()
        # The rule's name is always a registered one: an unknown one is a
        # mistake here, and raises PolicyNotRegistered.
        try:
            return bool(self._enforcer.authorize(name, dict(target), ctxt))
        except policy.InvalidScope:
            return False

    # -- files --------------------------------------------------------------
    def _load(self) -> policy.Enforcer:
        enforcer = policy.Enforcer(self._conf)
        enforcer.register_defaults(self._rules)
        enforcer.load_rules(force_reload=True)
        _check_values(enforcer)
        enforcer.check_rules(raise_on_violation=True)
        # Frozen: load_rules() of each question reads nothing any more.
        enforcer.use_conf = False
        return enforcer

    def _reload_if_changed(self) -> None:
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return
        with self._lock:
            if stamp == self._stamp:
                return
            self._stamp = stamp
            try:
                self._enforcer = self._load()
            except Exception as error:
                LOG.error(
                    'The policy files are broken; the rules read before '
                    'stay in force: %s',
                    error,
                )
            else:
                LOG.info('Policy files read again.')

    def _read_stamp(self) -> tuple[object, ...]:
        """Changes whenever a file of the policy does."""
        return tuple(
            (path, status.st_mtime_ns, status.st_size, status.st_ino)
            for path in self._files()
            if (status := _stat(path)) is not None
        )

    def _files(self) -> list[str]:
        options = self._conf.oslo_policy
        main = self._conf.find_file(options.policy_file)
        files = [main] if main else []
        for name in options.policy_dirs:
            directory = self._conf.find_file(name)
            if directory:
                files += sorted(glob.glob(os.path.join(directory, '*')))
        return files


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _check_values(enforcer: policy.Enforcer) -> None:
    """:raises ValueError: something in a file is no check string."""
    if not isinstance(enforcer.file_rules, dict):
        raise ValueError('a policy file must map names to check strings')
    for name, rule in enforcer.file_rules.items():
        text = rule.check_str
        # oslo.policy turns what it cannot parse into "nobody".
        if not isinstance(text, str):
            raise ValueError(f'{name}: {text!r} is no check string')
        if text.strip() != '!' and str(enforcer.rules[name]) == '!':
            raise ValueError(f'{name}: {text!r} cannot be parsed')
