"""Entry points of the repository: set-up, and one folder for each kind of task."""
