"""The command line."""


def main() -> None:
    """`farm`: run the command and exit with its code."""
    from farm.cli.app import app

    app()
