"""What faces clients and nodes: gRPC, verification of uploads, metrics. Keeps nothing."""
