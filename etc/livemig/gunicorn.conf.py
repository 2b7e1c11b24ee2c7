"""gunicorn for livemig's API.

    LIVEMIG_CONF_FILES=/etc/livemig/livemig.conf \
        gunicorn --config gunicorn.conf.py livemig.api.wsgi:application
"""

bind = '127.0.0.1:8774'
worker_class = 'gthread'
workers = 2
threads = 16
# Requests under way get this long when a worker is told to stop. Below
# 2.34 a live migration is answered when its checks are done.
graceful_timeout = 60
timeout = 120
# The application bounds the body; gunicorn these.
limit_request_line = 8190
limit_request_field_size = 16384
# The application is built by the first request of each worker: neither
# connections nor threads survive a fork.
preload_app = False
