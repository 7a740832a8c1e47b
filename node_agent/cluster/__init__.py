"""A machine's place in the farm's Ray cluster: its settings, its Ray node, what its cards say."""
