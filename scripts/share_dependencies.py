"""Link the installed packages of one environment into another, all but mixlens itself.

Continuous integration checks the built wheel in an environment of its own without downloading torch twice.

    python scripts/share_dependencies.py FROM_SITE_PACKAGES TO_SITE_PACKAGES
"""

import os
import sys
from pathlib import Path


def main() -> None:
    source, target = (Path(argument) for argument in sys.argv[1:3])
    for entry in source.iterdir():
        if "mixlens" in entry.name.lower() or entry.name == "__pycache__" or (target / entry.name).exists():
            continue
        os.symlink(entry, target / entry.name)


if __name__ == "__main__":
    main()
