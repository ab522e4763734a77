"""How much an archive holds is known before any of it is unpacked."""

import io
import zipfile

import numpy as np
import pytest

from mixlens.analysis import archives
from mixlens.analysis.archives import check_size


def packed(size, kind=zipfile.ZIP_DEFLATED):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", kind) as archive:
        archive.writestr("a", bytes(size))
    return made


def test_a_bomb_is_refused_with_both_sizes():
    bomb = packed(2**25)
    archives_most, size = 2**24, len(bomb.getvalue())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archives, "MOST", archives_most)
        with pytest.raises(ValueError, match=rf"its {size:,} bytes would unpack to 33,554,432, more than 16,777,216"):
            check_size(bomb)
    check_size(bomb)


def test_what_is_not_compressed_may_have_any_size(monkeypatch, tmp_path):
    monkeypatch.setattr(archives, "MOST", 1000)
    check_size(packed(10_000, zipfile.ZIP_STORED))
    np.savez_compressed(tmp_path / "a.npz", a=np.random.default_rng(0).normal(size=5000))
    check_size(tmp_path / "a.npz")


def test_overlapping_parts_count_each_time(monkeypatch):
    """One block of data that a thousand names share: no part is compressed, and together they are a bomb."""
    monkeypatch.setattr(archives, "MOST", 100_000)
    made = packed(100_000, zipfile.ZIP_STORED)
    with zipfile.ZipFile(made, "a") as archive:
        archive.filelist *= 1000
        archive._didModify = True
    with pytest.raises(ValueError, match="would unpack to 100,000,000"):
        check_size(made)


def test_what_is_no_archive_raises_what_zipfile_does():
    with pytest.raises(zipfile.BadZipFile):
        check_size(io.BytesIO(b"no"))
