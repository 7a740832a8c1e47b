"""What the farm speaks of: clips, batches, cards. Pure: no clock, no randomness, no IO."""
