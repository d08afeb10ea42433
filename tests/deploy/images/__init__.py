"""Containers of every shape; run by `make images`."""
