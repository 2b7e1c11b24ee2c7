"""Options of the REST API."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup('api', title='The REST API')

OPTS: list[cfg.Opt] = [
    cfg.HostAddressOpt(
        'bind_host',
        default='127.0.0.1',
        help="""
Address that ``livemig-api`` and ``livemig-all`` listen on; 0.0.0.0 or ::
for all. Has no meaning under gunicorn or uWSGI.
""",
    ),
    cfg.PortOpt(
        'bind_port',
        default=8774,
        help="""
Port that ``livemig-api`` and ``livemig-all`` listen on; 0 takes a free
one (it is logged). Has no meaning under gunicorn or uWSGI.
""",
    ),
    cfg.IntOpt(
        'threads',
        default=16,
        min=1,
        max=1024,
        help="""
Threads that serve requests in ``livemig-api`` and ``livemig-all``. Has no
meaning under gunicorn or uWSGI.
""",
    ),
    cfg.IntOpt(
        'client_timeout',
        default=30,
        min=1,
        help="""
Seconds without a byte after which ``livemig-api`` and ``livemig-all`` give
up a client's connection. Has no meaning under gunicorn or uWSGI.
""",
    ),
    cfg.StrOpt(
        'tls_cert_file',
        help="""
File with the certificate (and its chain), PEM. Set it to serve HTTPS.

Related options: needs ``tls_key_file``.
""",
    ),
    cfg.StrOpt(
        'tls_key_file',
        help="""
File with the certificate's private key, PEM.

Related options: needs ``tls_cert_file``.
""",
    ),
    cfg.IntOpt(
        'max_limit',
        default=1000,
        min=1,
        help='Rows that one answer of a list has at most; more are got '
        'page by page.',
    ),
    cfg.StrOpt(
        'auth_strategy',
        default='http_basic',
        choices=[
            ('http_basic', 'Names and passwords in a file of livemig'),
            ('keystone', 'Tokens of Keystone, see [keystone_authtoken]'),
        ],
        help='How users are identified.',
    ),
    cfg.StrOpt(
        'http_basic_user_file',
        default='/etc/livemig/htpasswd',
        help="""
File with one user per line: name, bcrypt hash of the password, project and
roles, ``name:hash:project:role,role``. ``livemig-manage user set`` writes
it; changes count from the next request on.

Related options: used if ``auth_strategy`` is ``http_basic``.
""",
    ),
    cfg.IntOpt(
        'auth_cache_seconds',
        default=60,
        min=0,
        help="""
Seconds for which a password that was right is not computed again (bcrypt
takes some tenths of a second each time). 0 computes it for each request.
""",
    ),
    cfg.URIOpt(
        'compute_link_prefix',
        schemes=['http', 'https'],
        help="""
What links in answers begin with instead of the address of the request,
for an API that is reached through a proxy which rewrites paths.
""",
    ),
    cfg.IntOpt(
        'max_request_body_size',
        default=114688,
        min=1024,
        help='Bytes that the body of a request may have; longer ones are '
        'refused with 413.',
    ),
    cfg.BoolOpt(
        'enable_instance_password',
        default=True,
        help="""
Whether the answers of create and rescue contain ``adminPass``, as clients
expect: the password that was given, or a random one. Nothing sets it in the
guest, whatever is said here.
""",
    ),
    cfg.StrOpt(
        'rescue_image_ref',
        help="""
Id of the image of the catalogue that a server is rescued with when the
request names none. Unset: the image the server was made of.
""",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    conf.register_opts(OPTS, GROUP.name)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    return [(GROUP.name, OPTS)]
