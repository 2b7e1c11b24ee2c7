"""The tests run in native threads, or as LIVEMIG_CONCURRENCY says."""

from livemig import concurrency

# Before any test module imports oslo.messaging, which would choose.
concurrency.setup()

import pathlib  # noqa: E402
import signal  # noqa: E402

import futurist._thread  # noqa: E402
import pytest  # noqa: E402

# In the background of a script Ctrl-C is ignored, and so it would be by the
# programs that tests start and press it in.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A message server that stops waits until its idle threads look up, once a
# second; here that would be most of the time.
futurist._thread.ThreadWorker.MAX_IDLE_FOR = 0.05


#: Files whose few tests take longest: begun last, they would have the other
#: process wait for them.
LONG = frozenset(
    {
        'functional/test_processes.py',
        'functional/compute/test_crash_points.py',
        'stateful/test_migrations.py',
    }
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = pathlib.Path(__file__).parent
    items.sort(key=lambda item: str(item.path.relative_to(here)) not in LONG)
