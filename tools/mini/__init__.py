"""Training a Helios that is small enough for the repository and good enough to see."""
