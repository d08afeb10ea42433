"""Random operations and faults against real deployments, held to a model in memory."""
