"""The load: one process of its own, pinned apart from the server."""
