"""What operators see: metrics, traces, logs, and the seconds per stage of a request."""
