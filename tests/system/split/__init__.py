"""System tests of the split shape: the embed service, and the thin gateway before other embed services."""
