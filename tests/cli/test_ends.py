"""What no machine could do, or no file system name, is one message before anything runs."""

import pytest

DRY = ("train", "--data", "photos", "--train-size", "256", "--seeds", "1", "--dry-run")
LONG = "x" * 300


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ((*DRY, "--threads", str(2**63 - 1)), "threads must be at most 1,024"),
        ((*DRY, "--subset-seed", "-1"), "subset_seed must lie in [0, 2^63 − 1], got -1"),
        (("train", "--dry-run", "--seeds", "0"), "seeds: 0 as a count"),
        (("train", "--dry-run", "--seeds=-1"), "seeds: -1 as a count"),
        ((*DRY, "--out", LONG), "a name in a path has at most 255 bytes"),
        ((*DRY, "--data-root", LONG), "a name in a path has at most 255 bytes"),
        ((*DRY, "--name", "\N{GRINNING FACE}" * 100), "at most 100 letters that can be seen, of 255 bytes"),
        ((*DRY, "--weights", LONG), "there are no weights at xxx"),
        ((*DRY, "--weights", f"a={LONG}"), "there are no weights at xxx"),
        (("run", LONG, "--dry-run"), "unknown preset 'xxx"),
        (("run", "x/" * 3000, "--dry-run"), "unknown preset 'x/x"),
        (("data", "cifar10", "--data-root", LONG), "cifar10 is not complete"),
        (("report", LONG), "File name too long"),
        (("status", LONG), "File name too long"),
        (("verify", LONG), "holds no runs and no study"),
        (("clean", LONG), "holds no runs and no study"),
        (("compare", LONG, LONG), "File name too long"),
        (("information", LONG), "File name too long"),
        (("masks", "--seed", "-1"), "--seed must be a whole number from 0 to 2^63 − 1"),
        (("masks", "--columns", "101"), "--columns must be 2 to 100"),
        (("oracle", "--dimensions", str(10**9)), "--dimensions must be at most 10,000"),
        (("oracle", "--samples", str(10**12)), "--samples must be at most 1,000,000"),
        (("oracle", "--critic-steps", str(10**20)), "--critic-steps must be 1 to 10,000,000"),
    ],
)
def test_one_message(failing, here, typed, words):
    assert words in failing(*typed)
    assert list(here.iterdir()) == []
