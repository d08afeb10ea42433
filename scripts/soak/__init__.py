"""A steady load with a fault every minute, and a plot of the memory."""
