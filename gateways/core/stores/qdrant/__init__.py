"""The Qdrant store: `STORE=qdrant`."""
