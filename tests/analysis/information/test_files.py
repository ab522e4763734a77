import math

import numpy as np
import pytest

from mixlens.analysis.errors import InputError
from mixlens.analysis.information import rate, sandwich
from mixlens.analysis.information.files import estimate_file, read_arrays

ENCODER = [
    "rate",
    "rate, Gaussian marginal",
    "rate, Gaussian mixture",
    "rate, defensive mixture",
    "leave-one-out",
    "index code (InfoNCE, K = N)",
    "InfoNCE, K = 20",
    "marginal gap, rate − mixture",
    "marginal gap, rate − index code",
]


def encoder(n=60, d=3, seed=0):
    draw = np.random.default_rng(seed)
    mu, log_sigma = draw.normal(size=(n, d)), 0.1 * draw.normal(size=(n, d)) - 1
    return {"mu": mu, "log_sigma": log_sigma, "z": mu + np.exp(log_sigma) * draw.normal(size=(n, d))}


def write(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_all_estimates_of_an_encoder(tmp_path):
    path, fit = write(tmp_path / "a.npz", **encoder()), write(tmp_path / "b.npz", **encoder(seed=1))
    found = estimate_file(path, fit, k=20)
    assert list(found) == ENCODER
    arrays = read_arrays(path)
    assert found["rate"].value == pytest.approx(rate(arrays["mu"], arrays["log_sigma"]).value, rel=1e-12)
    lower, upper = sandwich(arrays["mu"], arrays["log_sigma"], arrays["z"])
    assert found["index code (InfoNCE, K = N)"].value == pytest.approx(lower.value, rel=1e-12)
    assert found["leave-one-out"].value == pytest.approx(upper.value, rel=1e-12)
    difference = found["rate"].value - found["rate, Gaussian mixture"].value
    assert found["marginal gap, rate − mixture"].value == pytest.approx(difference)


def test_without_a_fit_there_is_no_gaussian_marginal(tmp_path):
    found = estimate_file(write(tmp_path / "a.npz", **encoder()), k=1000)
    assert list(found) == ["rate", "rate, defensive mixture", *ENCODER[4:6], "InfoNCE, K = 1000"]
    assert "between 2 and the 60" in str(found["InfoNCE, K = 1000"])


def test_sorted_images_are_shuffled_for_the_blocks(tmp_path):
    arrays = encoder(400, 2)
    order = arrays["mu"][:, 0].argsort()
    path = write(tmp_path / "a.npz", **{name: array[order] for name, array in arrays.items()})
    mixed = write(tmp_path / "b.npz", **arrays)
    first, second = (estimate_file(p, k=20)["InfoNCE, K = 20"].value for p in (path, mixed))
    assert first == pytest.approx(second, abs=0.15), "in order, images of a block are alike and the bound lies lower"


def test_ties_leave_the_other_estimates_and_jitter_breaks_them(tmp_path):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(200, 1)).round(1)
    path = write(tmp_path / "a.npz", x=x, z=x + draw.normal(size=(200, 1)))
    found = estimate_file(path, critic_steps=5)
    assert "repeat others" in str(found["KSG 1"])
    assert found["canonical correlations"].value > 0.1
    assert estimate_file(path, critic_steps=5, jitter=0.05)["KSG 1"].n == 200


def test_sigma_instead_of_its_logarithm(tmp_path):
    arrays = encoder()
    first = estimate_file(write(tmp_path / "a.npz", **arrays))
    arrays["sigma"] = np.exp(arrays.pop("log_sigma"))
    second = estimate_file(write(tmp_path / "b.npz", **arrays))
    assert second["leave-one-out"].value == pytest.approx(first["leave-one-out"].value, rel=1e-10)


def test_latents_are_drawn_from_the_seed_where_there_are_none(tmp_path):
    arrays = encoder()
    del arrays["z"]
    path = write(tmp_path / "a.npz", **arrays)
    first, same, other = (estimate_file(path, seed=seed)["leave-one-out"].value for seed in (0, 0, 1))
    assert first == same != other


def test_all_estimates_of_samples(tmp_path):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(200, 1))
    z = 0.9 * x + math.sqrt(1 - 0.81) * draw.normal(size=(200, 1))
    path = write(tmp_path / "a.npz", x=x, z=z)
    found = estimate_file(path, critic_steps=5)
    names = ["canonical correlations", "KSG 1", "KSG 2", *(f"critic, {n}" for n in ("infonce", "nwj", "mine", "smile"))]
    assert list(found) == names
    assert [found[name].n for name in names] == [200] * 3 + [100] * 4, "critics are evaluated on one half"
    with_fit = estimate_file(path, write(tmp_path / "b.npz", x=x + 1, z=z), critic_steps=5)
    assert with_fit["critic, infonce"].n == 200


def test_many_dimensions_are_named_where_neighbours_fail(tmp_path, recwarn):
    draw = np.random.default_rng(0)
    found = estimate_file(write(tmp_path / "a.npz", x=draw.normal(size=(100, 3)), z=draw.normal(size=(100, 3))))
    assert "KSG 1 (fails in 6 dimensions)" in found
    assert not recwarn.list


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "holds nothing; expected mu"),
        ({"mu": 1}, "holds mu; expected mu with log_sigma or sigma"),
        ({"mu": 1, "log_sigma": 1, "sigma": 1}, "expected mu with log_sigma or sigma"),
        ({"x": 1}, "holds x; expected"),
        ({"x": 1, "z": 1, "w": 1}, "holds w, x, z; expected"),
    ],
)
def test_other_arrays_are_refused(tmp_path, arrays, message):
    path = write(tmp_path / "a.npz", **{name: np.ones((5, 2)) for name in arrays})
    with pytest.raises(InputError, match=message):
        read_arrays(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"log_sigma": None, "sigma": np.zeros((60, 3))}, "sigma holds standard deviations, all must be positive"),
        ({"log_sigma": None, "sigma": -np.ones((60, 3))}, "all must be positive"),
        ({"mu": np.array([["a", "b", "c"]] * 60)}, "mu must hold floating-point numbers"),
        ({"mu": np.ones((60, 3), dtype=int)}, "mu must hold floating-point numbers of at most 64 bits, got int64"),
        ({"mu": np.full((60, 3), np.nan)}, "mu holds 180 NaN"),
        ({"mu": np.ones((60, 2))}, r"got \(60, 2\) and \(60, 3\)"),
        ({"sigma": np.ones((60, 3), dtype=int), "log_sigma": None}, "sigma must hold floating-point numbers"),
        ({"mu": np.ones((60, 3), dtype=np.longdouble)}, "mu must hold floating-point numbers of at most 64 bits"),
        ({"mu": np.full((60, 3), 1e200)}, r"mu reaches 1e\+200"),
        ({"z": np.ones((59, 3))}, "z must have the means' shape"),
    ],
)
def test_bad_arrays_are_refused(tmp_path, change, message):
    arrays = {name: array for name, array in (encoder() | change).items() if array is not None}
    with pytest.raises(InputError, match=message):
        estimate_file(write(tmp_path / "a.npz", **arrays))


def test_bytes_in_the_other_order(tmp_path):
    arrays = encoder()
    swapped = {name: array.astype(">f8") for name, array in arrays.items()}
    first, second = (estimate_file(write(tmp_path / f"{i}.npz", **a)) for i, a in enumerate((arrays, swapped)))
    assert first["leave-one-out"].value == second["leave-one-out"].value


def test_files_of_other_kinds_are_refused(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        estimate_file(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("not an archive", encoding="utf-8")
    np.save(tmp_path / "one.npy", np.ones((5, 2)))
    pickled = write(tmp_path / "pickled.npz", mu=np.array([{}, []], dtype=object), log_sigma=np.ones((2, 2)))
    for path in (tmp_path / "text.npz", tmp_path / "one.npy", pickled, tmp_path):
        with pytest.raises(InputError, match=r"is no \.npz file of plain arrays"):
            estimate_file(path)


def test_a_fit_of_the_other_kind_or_the_same_images_is_refused(tmp_path):
    path = write(tmp_path / "a.npz", **encoder())
    samples = write(tmp_path / "b.npz", x=np.ones((9, 1)), z=np.ones((9, 1)))
    with pytest.raises(InputError, match="both must be of one kind"):
        estimate_file(path, samples)
    with pytest.raises(InputError, match="60 of 60 evaluated encodings are also in the fit set"):
        estimate_file(path, path)
