"""The schema's steps, for alembic; never change one that was released."""
