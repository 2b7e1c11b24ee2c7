"""Measurements against the real alternative, in the same run."""
