"""CIFAR-10H: the published file, its order, and what happens without it."""

import hashlib
import io
import os

import numpy as np
import pytest

from mixlens.analysis.data.sources import cifar10, cifar10h
from mixlens.analysis.errors import InputError

needs_data = pytest.mark.skipif("MIXLENS_DATA" not in os.environ, reason="needs CIFAR-10H: set MIXLENS_DATA")


@needs_data
def test_the_counts_are_peoples_votes_in_the_order_of_cifar10s_test_set():
    counts = cifar10h.load()
    assert counts.shape == (10_000, 10)
    assert (counts.sum(1).min(), counts.sum(1).max()) == (47, 63)
    assert (counts == 0).double().mean().item() == pytest.approx(0.80596, abs=1e-9)
    assert (counts.argmax(1) == cifar10.load().test.labels).double().mean().item() == pytest.approx(0.9921, abs=1e-9)


def test_a_missing_file_says_how_to_get_it(tmp_path):
    with pytest.raises(InputError, match=r"cifar10h-counts\.npy is missing\. Run `mixlens data cifar10h --fetch`"):
        cifar10h.load(tmp_path)
    assert not cifar10h.status(tmp_path)[0].present


def test_a_changed_file_is_refused(tmp_path):
    path = tmp_path / cifar10h.FOLDER / cifar10h.FILE
    path.parent.mkdir()
    np.save(path, np.ones((10_000, 10), np.int64))
    with pytest.raises(InputError, match="another checksum"):
        cifar10h.load(tmp_path)


def test_fetching_checks_what_comes(tmp_path, monkeypatch):
    content = io.BytesIO()
    np.save(content, np.ones((10_000, 10), np.int64))
    monkeypatch.setattr(cifar10h, "urlopen", lambda url, timeout: io.BytesIO(content.getvalue()))
    with pytest.raises(InputError, match="another checksum"):
        cifar10h.fetch(tmp_path)
    assert not cifar10h.status(tmp_path)[0].present
    monkeypatch.setattr(cifar10h, "SHA256", hashlib.sha256(content.getvalue()).hexdigest())
    cifar10h.fetch(tmp_path)
    assert cifar10h.status(tmp_path)[0].ok
    assert cifar10h.load(tmp_path).sum() == 100_000
    monkeypatch.setattr(cifar10h, "urlopen", None)
    cifar10h.fetch(tmp_path)  # nothing is fetched twice


def test_no_network_is_one_clear_error(tmp_path, monkeypatch):
    def refuse(url, timeout):
        raise OSError("no network")

    monkeypatch.setattr(cifar10h, "urlopen", refuse)
    with pytest.raises(InputError, match=r"could not be fetched.*no network"):
        cifar10h.fetch(tmp_path)
