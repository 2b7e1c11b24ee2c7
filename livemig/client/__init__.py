"""The operators' command line; imports nothing of the service's side."""
