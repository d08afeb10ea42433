"""The PostgreSQL store: `STORE=pgvector`."""
