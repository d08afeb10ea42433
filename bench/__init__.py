"""The harness: starts targets, verifies them, then measures them, and refuses what it cannot vouch for."""
