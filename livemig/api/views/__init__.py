"""The only place where wire names are translated: tables of fields.

Each row says what a key is called on the wire, its schema, the versions
that have it, and where its value comes from.
"""
