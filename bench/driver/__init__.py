"""The load generator: a process of its own, pinned to cores that the server does not use."""
