"""What runs on a machine with cards: it never imports farm."""
