"""Requests: everything that happens to a request before a route answers it."""
