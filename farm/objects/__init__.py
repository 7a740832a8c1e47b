"""The object store: presigning, verification, the probe, and the embedded S3 server."""
