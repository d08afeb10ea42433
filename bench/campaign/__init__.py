"""A campaign: its manifest, and the runner that executes its plan."""
