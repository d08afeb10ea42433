"""Real processes, one folder for each promise: faults, stores, the split shape, parity, bulk, security."""
