"""The tests run in native threads, or as LIVEMIG_CONCURRENCY says."""

from livemig import concurrency

# Before any test module imports oslo.messaging, which would choose.
concurrency.setup()

import signal  # noqa: E402

import futurist._thread  # noqa: E402

# In the background of a script Ctrl-C is ignored, and so it would be by the
# programs that tests start and press it in.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A message server that stops waits until its idle threads look up, once a
# second; here that would be most of the time.
futurist._thread.ThreadWorker.MAX_IDLE_FOR = 0.05
