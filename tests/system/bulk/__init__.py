"""A corpus embedded in bulk, on real Ray nodes."""
