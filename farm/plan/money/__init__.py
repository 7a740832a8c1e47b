"""What a fleet is worth in money: against an H100, a rented one, clouds and other models. Pure."""
