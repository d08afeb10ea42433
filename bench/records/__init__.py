"""The format shared by campaigns and reports: rows of runs.csv and refusal codes."""
