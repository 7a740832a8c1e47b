"""What both halves of Heliostat share: the wire contract `v1`, generated from the .proto files
beside it, how they log and trace, and how they become services of a machine."""
