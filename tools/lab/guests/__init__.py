"""Guests that prove they were neither restarted nor damaged on their way."""
