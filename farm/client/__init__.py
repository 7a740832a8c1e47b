"""The Python SDK: submit, watch, fetch."""
