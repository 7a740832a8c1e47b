"""Quality of a take as far as its pixels tell: signals, and the marks of those beyond bounds."""
