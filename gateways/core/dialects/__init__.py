"""The same service in the shapes that other clients speak, one file per dialect."""
