"""The verbs of `python -m bench`, one file each."""
