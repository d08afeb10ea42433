"""The embed service: `POST /embed` and its health, nothing else."""
