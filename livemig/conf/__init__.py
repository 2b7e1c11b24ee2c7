"""Every option, one module a group; who reads one is handed a ConfigOpts.

There is no module-level CONF: each service of a process has its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from oslo_config import cfg

from livemig.conf import (
    api,
    catalogue,
    database,
    default,
    fake,
    libvirt,
    notifications,
    rpc,
    upgrade_levels,
)

_MODULES = (
    default,
    api,
    catalogue,
    database,
    fake,
    libvirt,
    notifications,
    rpc,
    upgrade_levels,
)


#: What oslo.config says of a value: its file, and what is wrong with it.
_COMPLAINT = re.compile(
    r"LocationInfo\(.*detail='([^']*)'\) is not valid: (.*)", re.DOTALL
)


class WrongOption(Exception):
    """An option has a value it must not have; the text names both."""


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register all of livemig's own options."""
    for module in _MODULES:
        module.register_opts(conf)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """(group, options) for oslo-config-generator."""
    return [pair for module in _MODULES for pair in module.list_opts()]


def set_library_defaults() -> None:
    """Show in the sample file what livemig changes of its libraries.

    For oslo-config-generator only: it changes the libraries' own tables.
    Services do the same to their own ConfigOpts, see ``livemig.rpc``.
    """
    from oslo_messaging import opts

    # Its list_opts() gives copies.
    tables = dict(opts._opts)
    for (group, name), value in rpc.MESSAGING_DEFAULTS.items():
        cfg.set_defaults(tables[group], **{name: value})


def check(conf: cfg.ConfigOpts) -> None:
    """Read every option once, so that a service refuses to start instead
    of failing at the first use.

    :raises WrongOption: naming the option and its file.
    """
    for group, opt in _each():
        section = conf if group == 'DEFAULT' else conf[group]
        try:
            section[opt.dest]
        except (ValueError, cfg.Error) as error:
            found = _COMPLAINT.search(str(error))
            where, why = found.groups() if found else (_files(conf), error)
            raise WrongOption(
                f'option [{group}] {opt.name} in {where}: '
                + ' '.join(str(why).split())
            ) from error
    for needed, other in (
        ('tls_cert_file', 'tls_key_file'),
        ('tls_key_file', 'tls_cert_file'),
    ):
        if conf.api[needed] and not conf.api[other]:
            raise WrongOption(
                f'option [api] {other} in {_files(conf)}: is '
                f'missing; {needed} needs it'
            )
    if conf.service_down_time <= conf.report_interval:
        raise WrongOption(
            f'option [DEFAULT] service_down_time in '
            f'{_files(conf)}: {conf.service_down_time} s '
            f'must be longer than report_interval, {conf.report_interval} s'
        )


def _each() -> Iterator[tuple[str, cfg.Opt]]:
    for group, opts in list_opts():
        for opt in opts:
            yield group, opt


def _files(conf: cfg.ConfigOpts) -> str:
    return ', '.join(conf.config_file or ()) or 'no file'
