"""Zip archives of anyone's making, as .npz files and what ``torch.save`` writes are: how much they hold, unread."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import BinaryIO

MOST = 2**30  # bytes that may come of any archive, however small
RATIO = 20  # and of a larger one, so many times its own size: numbers that were measured compress to less


def check_size(file: Path | BinaryIO) -> None:
    """Refuse an archive that would unpack to more than such a file holds. Nothing of it is unpacked.

    Raises:
        ValueError: it would.
        OSError, zipfile.BadZipFile: it cannot be read, or is no archive.
    """
    with zipfile.ZipFile(file) as archive:
        held = sum(part.file_size for part in archive.infolist())
        assert archive.fp is not None
        packed = archive.fp.seek(0, 2)
    if held > max(MOST, RATIO * packed):
        raise ValueError(
            f"its {packed:,} bytes would unpack to {held:,}, more than {MOST:,} and {RATIO} times as many: write it "
            "without compression if that is meant"
        )
