"""Black-box tests of the contract. They know the URL of a server and nothing else."""
