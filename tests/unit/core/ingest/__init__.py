"""Unit tests of core.ingest."""
