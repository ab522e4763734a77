import pytest
import torch

from mixlens.analysis.store.tensors import read_tensors, write_tensors

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(True), "c": torch.ones(3, dtype=torch.bfloat16)}


def test_what_was_written_is_read(tmp_path):
    write_tensors(tmp_path / "t", TENSORS, {"told": "é"})
    tensors, metadata = read_tensors(tmp_path / "t")
    assert metadata == {"told": "é"}
    assert all(
        torch.equal(tensors[name], value) and tensors[name].dtype == value.dtype for name, value in TENSORS.items()
    )
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_every_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "t"
    write_tensors(path, TENSORS, {"told": "so"})
    content = path.read_bytes()
    for place in range(0, 8 * len(content), 5):
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            tensors, metadata = read_tensors(path)
        except Exception:
            continue
        assert metadata == {"told": "so"}, "only what pads the header may be another"
        assert all(torch.equal(tensors[name], value) for name, value in TENSORS.items())


def test_a_check_that_raises_leaves_the_old_file(tmp_path):
    write_tensors(tmp_path / "t", TENSORS, {})
    before = (tmp_path / "t").read_bytes()

    def refuse():
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"):
        write_tensors(tmp_path / "t", {"a": torch.zeros(1)}, {}, refuse)
    assert (tmp_path / "t").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["t"]
