"""The Helm chart: what helm renders, and processes with the variables of its pods."""
