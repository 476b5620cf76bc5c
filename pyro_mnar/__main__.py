"""``python -m pyro_mnar``."""

from pyro_mnar.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
