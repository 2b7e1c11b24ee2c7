"""Who asks: identity, request id, and the records' keeper of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from oslo_context import context

if TYPE_CHECKING:
    from livemig.objects.store import Store


class RequestContext(context.RequestContext):
    """A request's context.

    It is handed from the API over every message to the compute manager,
    so that the request id is the same in all their logs.

    :ivar store: where this process keeps records. Never serialised: the
        receiving side puts its own in.
    """

    store: Store

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        store = kwargs.pop('store', None)
        # In livemig a context is made for one request; it must not become
        # the thread's current one for ever.
        kwargs.setdefault('overwrite', False)
        super().__init__(*args, **kwargs)
        if store is not None:
            self.store = store

    def copy(self) -> Self:
        """A copy for another thread: contexts are not shared."""
        new = type(self).from_dict(self.to_dict())
        if hasattr(self, 'store'):
            new.store = self.store
        return new


def admin_context(
    store: Store | None, request_id: str | None = None
) -> RequestContext:
    """A context of livemig's own work: nobody asked for it."""
    return RequestContext(
        is_admin=True, roles=['admin'], request_id=request_id, store=store
    )
