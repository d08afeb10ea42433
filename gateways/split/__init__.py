"""The split shape: an embed service that runs the model, and a thin gateway that does all else."""
