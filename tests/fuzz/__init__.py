"""Requests that nobody thought of, made from the gateway's own description."""
