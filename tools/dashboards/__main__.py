"""`python -m tools.dashboards` writes every dashboard anew, and removes what is none any more."""

from . import FOLDER, files


def main() -> None:
    """Write them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    made = files()
    for name, content in made.items():
        (FOLDER / name).write_text(content, encoding="utf-8")
    for path in FOLDER.glob("*.json"):
        if path.name not in made:
            path.unlink()


if __name__ == "__main__":
    main()
