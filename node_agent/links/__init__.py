"""How an exchange travels."""
