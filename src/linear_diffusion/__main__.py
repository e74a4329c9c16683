"""``python -m linear_diffusion`` is the command ``linear-diffusion``."""

from .apps.cli import main

if __name__ == "__main__":
    main()
