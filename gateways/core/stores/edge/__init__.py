"""The embedded store: `STORE=edge`, one Qdrant Edge shard for each collection."""
