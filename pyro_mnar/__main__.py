"""``python -m pyro_mnar``."""

from pyro_mnar.faces.command_line import main

if __name__ == "__main__":
    raise SystemExit(main())
