"""Bounds a call that libvirt or the network may never return from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from livemig import concurrency

T = TypeVar('T')


class Call(Generic[T]):
    """``fn()`` in a native thread of its own, which may be abandoned."""

    def __init__(self, fn: Callable[[], T], name: str) -> None:
        self._results: list[T] = []
        self._errors: list[BaseException] = []
        self._handle = concurrency.native_thread(self._run, fn, name=name)

    def _run(self, fn: Callable[[], T]) -> None:
        try:
            self._results.append(fn())
        except BaseException as error:
            self._errors.append(error)

    @property
    def alive(self) -> bool:
        return self._handle.alive

    def result(self, limit_s: float) -> T:
        """What it returned or raised.

        :raises TimeoutError: it has not ended within ``limit_s``.
        """
        if not self._handle.join(limit_s):
            raise TimeoutError(f'no answer within {limit_s:g} s')
        if self._errors:
            raise self._errors[0]
        return self._results[0]
