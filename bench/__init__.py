"""The benchmark harness: it starts targets, verifies them, measures them, and refuses results that are not sound."""
