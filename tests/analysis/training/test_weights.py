"""Weights of anyone's making: what `load_weights` reads, and what it refuses without running it."""

import os
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mixlens.analysis.errors import InputError
from mixlens.analysis.models.preact_resnet import PreActResNet18
from mixlens.analysis.training.checkpoint import load_weights, save_weights


def network(seed=0, width=3):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(2, width, 3), nn.BatchNorm2d(width), nn.Flatten(), nn.Linear(width * 36, 2))
    net(torch.rand(4, 2, 8, 8))  # so that the statistics are not those of a new network
    return net


def assert_loaded(path, expected=None):
    """The file's weights are network()'s, statistics and counts included."""
    other = network(seed=1)
    load_weights(path, other)
    expected = network() if expected is None else expected
    for (name, value), loaded in zip(expected.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(value, loaded), name


def test_loading_is_needed_for_the_tests_below():
    assert not torch.equal(network()[0].weight, network(seed=1)[0].weight)
    assert not torch.equal(network()[1].running_mean, network(seed=1)[1].running_mean)


def test_safetensors(tmp_path):
    save_file(network().state_dict(), tmp_path / "w.safetensors")
    assert_loaded(tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").rename(tmp_path / "w")
    assert_loaded(tmp_path / "w")


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.ckpt", "w.bin", "w"])
def test_a_state_dict_that_torch_saved(tmp_path, name):
    torch.save(network().state_dict(), tmp_path / name)
    assert_loaded(tmp_path / name)


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.ckpt", "w.bin", "w", "w.safetensors", "w.tar"])
def test_a_state_dict_in_torchs_old_format(tmp_path, name):
    torch.save(network().state_dict(), tmp_path / name, _use_new_zipfile_serialization=False)
    assert_loaded(tmp_path / name)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"lr": 0.1}},
        lambda state: {"model_state_dict": state},
        lambda state: {"model": state, "args": None},
        lambda state: {"state_dict": {"model": state}},
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {"state_dict": {f"module.{name}": value for name, value in state.items()}, "epoch": 3},
        lambda state: {"net": {f"module.{name}": value for name, value in state.items()}, "acc": 95.1, "epoch": 3},
        lambda state: {f"_orig_mod.{name}": value for name, value in state.items()},
        lambda state: {"state_dict": {f"model.{name}": value for name, value in state.items()}},
        lambda state: {f"net.{name}": value for name, value in state.items()},
        lambda state: {f"module._orig_mod.model.{name}": value for name, value in state.items()},
        lambda state: {"weights": {f"network.{name}": value for name, value in state.items()}},
    ],
)
def test_a_state_dict_within_a_checkpoint(tmp_path, wrap):
    torch.save(wrap(network().state_dict()), tmp_path / "w.pt")
    assert_loaded(tmp_path / "w.pt")


def test_dataparallels_prefix_in_safetensors(tmp_path):
    save_file({f"module.{name}": value for name, value in network().state_dict().items()}, tmp_path / "w")
    assert_loaded(tmp_path / "w")


def test_a_real_data_parallel_network(tmp_path):
    torch.save(nn.DataParallel(network()).state_dict(), tmp_path / "w.pt")
    assert_loaded(tmp_path / "w.pt")


def test_weights_in_half_precision_become_the_networks(tmp_path):
    torch.save(network().half().state_dict(), tmp_path / "w.pt")
    other = network(seed=1)
    load_weights(tmp_path / "w.pt", other)
    assert other[0].weight.dtype == torch.float32
    torch.testing.assert_close(other[0].weight, network()[0].weight, rtol=1e-3, atol=1e-4)


def test_the_file_itself_stays_untouched(tmp_path):
    torch.save(network().state_dict(), tmp_path / "w.pt")
    before = (tmp_path / "w.pt").read_bytes()
    load_weights(tmp_path / "w.pt", network(seed=1))
    assert (tmp_path / "w.pt").read_bytes() == before


# A network whose only child is called module, such as a wrapper's: its own names all begin with "module.".
def test_a_network_whose_own_names_begin_with_module_round_trips(tmp_path):
    class Wrapper(nn.Module):
        def __init__(self, seed):
            super().__init__()
            self.module = network(seed)

    save_weights(tmp_path / "w", Wrapper(0))
    other = Wrapper(1)
    load_weights(tmp_path / "w", other)
    assert torch.equal(other.module[0].weight, network()[0].weight)


# Tied weights are one tensor under two names; safetensors refuses those with a RuntimeError of a page.
def test_a_network_with_tied_weights_round_trips(tmp_path):
    def tied(seed):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
        net[2].weight = net[0].weight
        return net

    save_weights(tmp_path / "w", tied(0))
    other = tied(1)
    load_weights(tmp_path / "w", other)
    assert torch.equal(other[2].weight, tied(0)[2].weight)


# Written before PyTorch 0.4.1, or stripped of what is no weight.
def test_batch_norms_may_lack_their_counts(tmp_path):
    state = {name: value for name, value in network().state_dict().items() if "num_batches" not in name}
    for write in (lambda it, path: torch.save(it, path), save_file):
        write(state, tmp_path / "w")
        other = network(seed=1)
        load_weights(tmp_path / "w", other)
        assert torch.equal(other[1].running_mean, network()[1].running_mean)


def test_weight_norms_older_names(tmp_path):
    old = nn.Sequential(nn.utils.weight_norm(nn.Linear(3, 2)))
    torch.save(old.state_dict(), tmp_path / "w.pt")
    new = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)))
    load_weights(tmp_path / "w.pt", new)
    assert torch.equal(new[0].weight, old[0].weight)


@pytest.mark.parametrize("compiled", ["here", "there"])
def test_a_part_that_was_compiled_has_the_names_of_what_it_is(tmp_path, compiled):
    def net(seed, compile_it):
        made = nn.Sequential(network(seed), nn.Linear(2, 2))
        if compile_it:
            made[0] = torch.compile(made[0])
        return made

    first, other = net(0, compiled == "there"), net(1, compiled == "here")
    save_weights(tmp_path / "w", first)
    load_weights(tmp_path / "w", other)
    for value, loaded in zip(first.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(value, loaded)


def test_a_checkpoint_without_a_state_dict_lists_its_keys(tmp_path):
    torch.save({"generator": network().state_dict(), "epoch": 3}, tmp_path / "w.pt")
    told = refusal(tmp_path / "w.pt")
    assert "its keys are generator, epoch. One is looked for under state_dict, model_state_dict, model, net" in told


def test_a_safetensors_header_of_any_length_is_no_pickle(tmp_path):
    """Its first byte is the length's: 0x80 here, with which a pickle begins too."""
    for extra in range(0, 400, 8):
        save_file({"weight": torch.ones(2, 3), "bias": torch.ones(2)}, tmp_path / "w", {"note": "x" * extra})
        if (tmp_path / "w").read_bytes()[0] == 0x80:
            break
    else:
        pytest.fail("no header of that length")
    linear = nn.Linear(3, 2)
    load_weights(tmp_path / "w", linear)
    assert (linear.weight == 1).all()


# of another network


def refusal(path, net=None):
    net = network(seed=1) if net is None else net
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(InputError) as caught:
        load_weights(path, net)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items()), "nothing is half loaded"
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_another_width_is_told_with_a_tensor_and_both_shapes(tmp_path):
    save_weights(tmp_path / "w", PreActResNet18(4, width=2))
    told = refusal(tmp_path / "w", PreActResNet18(4, width=3))
    assert "weights of another network than PreActResNet18 as it was built" in told
    assert "have another shape (such as stem.weight is (2, 3, 3, 3), not (3, 3, 3, 3))" in told
    assert "missing" not in told
    assert "Give the model with the arguments that they were trained with." in told


def test_other_classes_are_told_as_the_head_alone(tmp_path):
    save_weights(tmp_path / "w", PreActResNet18(10, width=2))
    assert "2 have another shape (such as head.weight is (10, 16), not (4, 16))" in refusal(
        tmp_path / "w", PreActResNet18(4, width=2)
    )


def test_missing_and_unknown_tensors_are_counted_and_named(tmp_path):
    save_weights(tmp_path / "w", PreActResNet18(4, width=2, official=True))
    told = refusal(tmp_path / "w", PreActResNet18(4, width=2))
    assert "4 tensors are missing (such as head_norm.0.weight)" in told
    assert "5 are unknown (such as stem_norm.0." in told
    assert "another shape" not in told


def test_names_of_which_only_some_begin_with_module_are_left_alone(tmp_path):
    state = network().state_dict()
    torch.save({**state, "module.0.weight": state["0.weight"]}, tmp_path / "w.pt")
    assert "1 are unknown (such as module.0.weight)" in refusal(tmp_path / "w.pt")


# values that a network cannot hold as they are


def with_weight(change):
    state = network().state_dict()
    return {**state, "0.weight": change(state["0.weight"])}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: torch.complex(w, w), "0.weight holds torch.complex64"),
        (lambda w: (100 * w).to(torch.int8), "0.weight holds torch.int8"),
        (lambda w: w > 0, "0.weight holds torch.bool"),
        (lambda w: w.to_sparse(), "0.weight is sparse_coo, no plain array of numbers"),
        (lambda w: w.to("meta"), "0.weight is on no device"),
        (lambda w: torch.nested.nested_tensor([w[0], w[1]]), "0.weight is nested"),
        (lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8), "0.weight is quantised"),
        (lambda w: w / 0, "0.weight holds 54 NaN or infinite values of 54"),
        (lambda w: w.double() * 1e300, "0.weight holds 54 NaN or infinite values of 54 in torch.float32"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_would_lose_a_part_is_refused(tmp_path, change, words):
    torch.save(with_weight(change), tmp_path / "w.pt")
    assert words in refusal(tmp_path / "w.pt")


def test_fractions_of_a_count_are_refused_and_a_count_in_floats_is_taken(tmp_path):
    floats = {name: value.double() for name, value in network().state_dict().items()}
    torch.save(floats, tmp_path / "w.pt")
    assert_loaded(tmp_path / "w.pt")
    torch.save({**floats, "1.num_batches_tracked": torch.tensor(2.5)}, tmp_path / "w.pt")
    assert "1.num_batches_tracked holds torch.float32 that are no torch.int64" in refusal(tmp_path / "w.pt")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.float64])
def test_weights_of_every_precision_are_the_values_that_they_hold(tmp_path, dtype):
    state = with_weight(lambda w: w.to(dtype))
    save_file(state, tmp_path / "w")
    other = network(seed=1)
    load_weights(tmp_path / "w", other)
    assert torch.equal(other[0].weight, state["0.weight"].float())


def test_infinity_is_taken_where_the_network_has_it_itself(tmp_path):
    def masked(last):
        net = nn.Sequential(nn.Linear(2, 2))
        net.register_buffer("mask", torch.tensor([0.0, last]))
        return net

    save_weights(tmp_path / "w", masked(-torch.inf))
    load_weights(tmp_path / "w", masked(-torch.inf))
    assert "mask holds 1 NaN or infinite values of 2" in refusal(tmp_path / "w", masked(0.0))


def test_a_checkpoint_that_holds_itself_is_refused(tmp_path):
    first, second = {}, {}
    first["state_dict"], second["model"] = second, first
    torch.save(first, tmp_path / "w.pt")
    assert "not a state dict" in refusal(tmp_path / "w.pt")


def test_a_small_file_that_unpacks_to_gigabytes_is_refused_unread(tmp_path, monkeypatch):
    torch.save(network().state_dict(), tmp_path / "w.pt")
    with zipfile.ZipFile(tmp_path / "w.pt", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data/99", bytes(2**20))
    assert_loaded(tmp_path / "w.pt")  # so much is no bomb
    monkeypatch.setattr("mixlens.analysis.archives.MOST", 2**19)
    assert "would unpack to 1,0" in refusal(tmp_path / "w.pt")


# no weights at all


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def trap(tmp_path):
    return tmp_path / "sprung"


def test_the_bomb_works(trap):
    pickle.loads(pickle.dumps(Bomb(trap)))
    assert trap.exists()


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.ckpt", "w.bin", "w.pkl", "w.safetensors", "w"])
@pytest.mark.parametrize("form", ["zip", "old", "pickle"])
@pytest.mark.parametrize("nested", [False, True])
def test_a_pickle_is_refused_and_never_run(tmp_path, trap, name, form, nested):
    content = {"state_dict": network().state_dict(), "extra": Bomb(trap)} if nested else Bomb(trap)
    if form == "pickle":
        (tmp_path / name).write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=form == "zip")
    refusal(tmp_path / name)
    assert not trap.exists()


def test_a_pickled_object_is_refused_with_what_to_save_instead(tmp_path, trap):
    torch.save(Bomb(trap), tmp_path / "w.pt")
    told = refusal(tmp_path / "w.pt")
    assert "is no checkpoint of weights alone, and nothing else is unpickled" in told
    assert "Save model.state_dict() with torch.save or safetensors" in told


def test_a_whole_pickled_module_is_refused(tmp_path):
    torch.save(network(), tmp_path / "w.pt")
    assert "no checkpoint of weights alone" in refusal(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ({"epoch": 3, "acc": 0.9}, "dict"),
        ({"weight": torch.zeros(2), "epoch": 3}, "dict"),
        ({"state_dict": {"epoch": 3}}, "dict"),
        ({}, "dict"),
        ([torch.zeros(2)], "list"),
        (torch.zeros(2), "Tensor"),
        (None, "NoneType"),
    ],
)
def test_what_is_no_state_dict_is_named(tmp_path, content, kind):
    torch.save(content, tmp_path / "w.pt")
    assert f"holds {kind}, not a state dict (names → tensors)" in refusal(tmp_path / "w.pt")


def test_tensors_under_numbers_are_no_state_dict(tmp_path):
    torch.save({0: torch.zeros(2)}, tmp_path / "w.pt")
    refusal(tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors", "w.txt", "w"])
@pytest.mark.parametrize("content", [b"accuracy,0.95\nloss,0.1\n", b"PK\x03\x04" + b"x" * 99, b"\xff" * 99])
def test_text_and_garbage_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    told = refusal(tmp_path / name)
    assert "damaged or no file of weights" in told or "no checkpoint of weights alone" in told


@pytest.mark.parametrize("name", ["w.safetensors", "w"])
def test_an_empty_file_is_refused(tmp_path, name):
    (tmp_path / name).touch()
    assert "damaged or no file of weights" in refusal(tmp_path / name)


# A download that was cut off at once. torch.load raises EOFError without a message, whose first line is an IndexError.
@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.ckpt"])
def test_an_empty_file_of_torchs_is_refused(tmp_path, name):
    (tmp_path / name).touch()
    refusal(tmp_path / name)


def test_a_zip_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("notes.txt", "hello")
    assert "damaged or no file of weights" in refusal(tmp_path / "w.pt")


@pytest.mark.parametrize("keep", [0.5, 0.99])
def test_a_truncated_file_of_torchs_is_refused(tmp_path, keep):
    torch.save(network().state_dict(), tmp_path / "w.pt")
    content = (tmp_path / "w.pt").read_bytes()
    (tmp_path / "w.pt").write_bytes(content[: int(keep * len(content))])
    refusal(tmp_path / "w.pt")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert "there are no weights at" in refusal(tmp_path / "absent.pt")
    assert "there are no weights at" in refusal(tmp_path)
