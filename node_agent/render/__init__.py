"""The render child: the only code that imports torch and diffusers."""
