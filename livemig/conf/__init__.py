"""Every option, one module a group; who reads one is handed a ConfigOpts.

There is no module-level CONF: each service of a process has its own.
"""

from __future__ import annotations

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

    tables = dict(opts.list_opts())
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
            raise WrongOption(
                f'option [{group}] {opt.name} in '
                f'{_where(conf, group, opt)}: {error}'
            ) from error
    for needed, other in (
        ('tls_cert_file', 'tls_key_file'),
        ('tls_key_file', 'tls_cert_file'),
    ):
        if conf.api[needed] and not conf.api[other]:
            raise WrongOption(
                f'option [api] {other} in {_where(conf, "api", None)}: is '
                f'missing; {needed} needs it'
            )
    if conf.service_down_time <= conf.report_interval:
        raise WrongOption(
            f'option [DEFAULT] service_down_time in '
            f'{_where(conf, "DEFAULT", None)}: {conf.service_down_time} s '
            f'must be longer than report_interval, {conf.report_interval} s'
        )


def _each() -> Iterator[tuple[str, cfg.Opt]]:
    for group, opts in list_opts():
        for opt in opts:
            yield group, opt


def _where(conf: cfg.ConfigOpts, group: str, opt: cfg.Opt | None) -> str:
    """The file an option was set in, as well as that can be told."""
    if opt is not None:
        location = conf.get_location(
            opt.dest, None if group == 'DEFAULT' else group
        )
        if location is not None and location.detail:
            return str(location.detail)
    return ', '.join(conf.config_file or ()) or 'no file'
