"""Experiments behind decisions; their outcomes are in results/studies."""
