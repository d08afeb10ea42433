"""Stores and job queues, each on its real engine."""
