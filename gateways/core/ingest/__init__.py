"""Ingest: the worker of the job queue, its group commit, and the indexer."""
