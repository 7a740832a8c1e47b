"""What both halves of Heliostat share: the wire contract `v1`, generated from the .proto files
beside it, and how they log and trace."""
