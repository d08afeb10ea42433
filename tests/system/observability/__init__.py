"""What operators see: metrics, logs, traces, the dashboard."""
