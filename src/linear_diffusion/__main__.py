"""The command ``linear-diffusion``, also as ``python -m linear_diffusion``."""

import sys


def main() -> None:
    """Run the command; Ctrl-C is quiet even while it is being imported."""
    try:
        from .apps.cli import app
    except KeyboardInterrupt:
        sys.exit(130)
    app()


if __name__ == "__main__":
    main()
