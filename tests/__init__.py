"""The tests: contract by URL, faults, packaging, parity, units."""
