"""The statements, one module a table; each function takes a connection."""
