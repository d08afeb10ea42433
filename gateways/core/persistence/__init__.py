"""Persistence: the data folder, atomic files, and a PostgreSQL connection pool."""
