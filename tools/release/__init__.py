"""What makes and checks a release: licences, bills of materials, wheel and sdist."""
