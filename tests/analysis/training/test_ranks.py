"""Processes that share a training: how they find each other, divide a batch, and end."""

import pytest
import torch

from mixlens.analysis.errors import InputError
from mixlens.analysis.interface import MixedBatch
from mixlens.analysis.training import ranks as module
from mixlens.analysis.training.ranks import PartedError, Ranks, join, own_device

PLACE = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}


class Store(dict):
    """What the processes say to each other, in one process."""

    def set(self, key, word):
        self[key] = word.encode()

    def get(self, key):
        return self[key]

    def check(self, keys):
        return all(key in self for key in keys)


@pytest.fixture
def pair(monkeypatch):
    """Both of two processes, whose sums are those of two of the same."""
    monkeypatch.setattr(module.dist, "PrefixStore", lambda name, store: store)
    monkeypatch.setattr(module.dist, "all_reduce", lambda values: values.mul_(2))
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    store = Store()
    return Ranks(store, 0, 2), Ranks(store, 1, 2)


def test_a_process_alone_is_among_none(monkeypatch):
    for value in (None, "", "1"):
        monkeypatch.delenv("WORLD_SIZE", raising=False)
        if value is not None:
            monkeypatch.setenv("WORLD_SIZE", value)
        assert join() is None


@pytest.mark.parametrize("missing", ["RANK", "MASTER_ADDR", "MASTER_PORT"])
def test_what_is_missing_of_the_environment_is_said(monkeypatch, missing, failing):
    for name, value in PLACE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv(missing)
    message = failing("train", "--data", "patches:few", "--quiet")
    assert "WORLD_SIZE is 2" in message
    assert f"{missing} is not set. Start the processes with torchrun" in message


def test_processes_that_do_not_find_each_other_say_so(monkeypatch):
    for name, value in PLACE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RANK", "one")
    with pytest.raises(InputError, match=r"the 2 processes did not find each other at 127\.0\.0\.1:1"):
        join()


def test_devices_that_several_cannot_share():
    for name in ("mps", "cuda:0"):
        with pytest.raises(InputError, match=f"each on a GPU of its own; got --device {name}"):
            own_device(name)
    assert own_device("cpu") == "cpu"


def part(ranks, means, seed=0):
    """Of a batch of two images of ones."""
    y = torch.ones(2)
    return ranks.divided(means, (torch.ones(2, 1, 1, 1), y), y, seed)["loss"]


def test_rows_are_divided_and_their_means_sum_to_the_batchs(pair):
    x = torch.rand(5, 1, 2, 2)
    mixed = MixedBatch(
        x, torch.arange(5), torch.arange(5).flip(0), torch.rand(5), torch.arange(5), torch.rand(5, 1, 2, 2)
    )
    seen = []

    def means(own, y):
        seen.append((own, y))
        return {"loss": own.lam.mean()}

    losses = [ranks.divided(means, mixed, mixed.y, 0)["loss"] for ranks in pair]
    torch.testing.assert_close(sum(losses), mixed.lam.mean())
    assert [len(y) for _, y in seen] == [2, 3]
    for place, part in enumerate(mixed):
        assert torch.equal(torch.cat([own[place] for own, _ in seen]), part)
    with pytest.raises(InputError, match="a batch of 1 images cannot be divided among 2 processes"):
        pair[0].divided(means, (x[:1], mixed.y[:1]), mixed.y[:1], 0)


def test_each_process_draws_for_its_own_rows(pair):
    def draws(ranks, seed):
        torch.manual_seed(0)
        return part(ranks, lambda own, y: {"loss": torch.rand(3)}, seed)

    first, second = pair
    assert not torch.equal(draws(first, 1), draws(second, 1))
    assert torch.equal(draws(second, 1), draws(second, 1))
    assert not torch.equal(draws(second, 1), draws(second, 2))


def test_a_step_sums_gradients_and_metrics_and_leaves_out_what_nobody_used(pair):
    used, unused = (torch.nn.Parameter(torch.ones(2, 2)) for _ in range(2))
    optimizer = torch.optim.SGD([used, unused], 0.1)
    first = pair[0]
    loss = part(first, lambda own, y: {"loss": (used * own[0].mean()).sum()})
    loss.backward()
    assert torch.equal(used.grad, torch.full((2, 2), 0.5))
    assert first.sum_up(optimizer, {"loss": loss.detach()})["loss"] == 2 * loss
    assert torch.equal(used.grad, torch.ones(2, 2))
    assert unused.grad is None


def test_different_batches_are_refused(pair, monkeypatch):
    first = pair[0]
    monkeypatch.setattr(module.dist, "all_reduce", lambda values: values.mul_(2).add_(0.5))
    parameter = torch.nn.Parameter(torch.ones(1))
    loss = part(first, lambda own, y: {"loss": parameter.sum()})
    loss.backward()
    with pytest.raises(InputError, match="the processes had different batches"):
        first.sum_up(torch.optim.SGD([parameter], 0.1), {"loss": loss.detach()})


def test_who_fails_where_the_others_do_not_says_so(pair):
    with pytest.raises(PartedError, match="process 0 of 2 stopped, and not the others: no file") as caught:
        pair[0].agree("failed after 3", "no file.")
    assert caught.value.word == "no file."


def test_who_waits_for_one_that_has_failed_is_told_why(pair):
    first, second = pair
    assert not second.leave("no file")
    with pytest.raises(PartedError, match=r"process 1 of 2 stopped, and not the others: no file\. What is done"):
        first.agree("done after 3")


def test_who_waits_for_one_that_was_interrupted_is_interrupted(pair, tmp_path):
    first, second = pair
    first.leave(module.INTERRUPTED)
    with pytest.raises(KeyboardInterrupt):
        second.next_training(tmp_path / "checkpoint")


def test_those_who_do_otherwise_part(pair):
    pair[0]._store.set("meeting/1/1", "done after 4")
    with pytest.raises(PartedError, match="process 1 of 2 does otherwise than process 0"):
        pair[0].agree("done after 3")


def test_a_broken_connection_is_explained_by_who_broke_it(pair, monkeypatch):
    def broken(values):
        raise RuntimeError("Connection closed by peer")

    monkeypatch.setattr(module.dist, "all_reduce", broken)
    with pytest.raises(PartedError, match=r"another of the 2 processes has gone \(Connection closed"):
        pair[0].sum(torch.ones(1))
    pair[1].leave("no file")
    with pytest.raises(PartedError, match=r"process 1 of 2 stopped.*no file"):
        pair[0].sum(torch.ones(1))
