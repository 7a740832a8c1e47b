"""Heliostat on Ray: the cluster, the coordinator and gateway as detached processes, the cards."""
