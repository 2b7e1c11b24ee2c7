"""The tests run in native threads, or as LIVEMIG_CONCURRENCY says."""

from livemig import concurrency

# Before any test module imports oslo.messaging, which would choose.
concurrency.setup()

import futurist._thread  # noqa: E402

# A message server that stops waits until its idle threads look up, once a
# second; here that would be most of the time.
futurist._thread.ThreadWorker.MAX_IDLE_FOR = 0.05
