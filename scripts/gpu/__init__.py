"""The GPU campaign on another machine."""
