"""The machine: its facts, cores, GPUs, speed and device names."""
