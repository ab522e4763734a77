"""Nothing that is typed is lost: it is understood as written, or refused."""

import os
import subprocess
import sys

import pytest

from mixlens.analysis.errors import InputError
from mixlens.analysis.interface import Machine, Study
from mixlens.analysis.schema import from_user
from mixlens.analysis.study.conduct import seeds_in_words
from mixlens.analysis.study.sections import installed_sections
from mixlens.analysis.study.study import read_study
from mixlens.cli.main import main

DEMO = ("run", "demo", "--dry-run", "--seeds", "1", "--sections", "vae")


@pytest.mark.parametrize("flag", ["--vae.epochs", "--train-size", "--threads", "--subset-seed", "--at-once"])
@pytest.mark.parametrize("value", ["3.5", "0.1", "1e-3", "nan"])
def test_no_fraction_becomes_a_whole_number(failing, here, flag, value):
    assert f"{flag}: a whole number is expected, got {value}" in failing(*DEMO, flag, value)


@pytest.mark.parametrize(
    "typed", [("oracle", "--samples", "200.5"), ("information", "a.npz", "--k", "2.5"), ("masks", "--columns", "2.9")]
)
def test_nor_in_other_commands(failing, here, typed):
    assert f"a whole number is expected, got {typed[-1]}" in failing(*typed)


def test_whole_numbers_may_be_written_as_floats(capsys, here):
    assert main([*DEMO, "--threads", "1.0"]) == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("seeds: [0]\nname: a\nseeds: [1]\n", r"line 3, column 1: 'seeds' is given twice"),
        ("vae: {epochs: 1, batch_size: 2, epochs: 3}\n", "'epochs' is given twice"),
        ("vae: {batch_size: 32, batch-size: 64}\n", "vae has batch_size twice"),
        ("robustness: {nonsense: 1}\n", "unknown setting in robustness: 'nonsense'"),
        ("subset_seed: 12345678901234567890\n", "subset_seed must be at most"),
        ("seeds: 12345678901234567890\n", "as a count is more than 1000"),
        ("seeds: [12345678901234567890]\n", "seeds must be at most"),
        ("name: ' '\n", "no dot or space at its start"),
        ("name: 'a '\n", "no space at its end"),
    ],
)
def test_study_files(here, text, told):
    (here / "a.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=told):
        read_study("a.yaml", installed_sections())


def test_merged_keys_of_yaml_are_no_repeats(here):
    (here / "a.yaml").write_text("vae: &v {epochs: 3}\nrobustness: {images: 8}\n", encoding="utf-8")
    assert read_study("a.yaml", installed_sections()).settings["vae"].epochs == 3


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        (range(42), "42 replicates, seeds 0 to 41"),
        ((42,), "1 replicate, seed 42"),
        ((0, 3, 7), "3 replicates, seeds 0, 3, 7"),
        ((0, 1), "2 replicates, seeds 0, 1"),
    ],
)
def test_seeds_are_said_as_they_were_understood(seeds, words):
    assert seeds_in_words(list(seeds)) == words


def test_a_dry_run_says_what_was_understood_and_leaves_no_folder(capsys, here):
    assert main(["run", "demo", "--dry-run", "--sections", "vae", "--seeds", "3"]) == 0
    assert capsys.readouterr().out.startswith("demo: 3 replicates, seeds 0 to 2, ")
    assert list(here.iterdir()) == []


def test_a_tilde_is_the_home_folder(here, monkeypatch, failing):
    monkeypatch.setenv("HOME", str(here))
    assert from_user(Machine, {"out": "~/runs"}, "Machine").out == here / "runs"
    assert f"{here}/none.yaml" in failing("run", "~/none.yaml")
    assert str(here / "none") in failing("report", "--out=~/here", "~/none")


def run(encoding, *typed, **options):
    code = "import sys; from mixlens.cli.main import main; sys.exit(main())"
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    return subprocess.run([sys.executable, "-c", code, *typed], env=environment, stderr=subprocess.PIPE, **options)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_consoles_without_greek_letters(here, encoding):
    done = run(encoding, *DEMO, stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr.count(b"Traceback")) == (0, 0)
    assert run(encoding, *DEMO, "--vae.nonsense", "λ", stdout=subprocess.PIPE).returncode == 2


@pytest.mark.slow
def test_a_full_disk_is_one_message(here):
    with open("/dev/full", "w") as full:
        done = run("utf-8", *DEMO, stdout=full)
    assert done.returncode == 2
    assert done.stderr.decode() == "mixlens: the output cannot be written: No space left on device.\n"


@pytest.mark.slow
def test_a_closed_pipe_is_no_error(here):
    code = "import sys; from mixlens.cli.main import main; sys.exit(main())"
    piped = f"{sys.executable} -c '{code}' {' '.join(DEMO)} | true"
    process = subprocess.run(["bash", "-o", "pipefail", "-c", piped], stderr=subprocess.PIPE)
    assert process.returncode in (0, 141)
    assert process.stderr == b""


def test_names_keep_their_inner_spaces():
    assert Study(name="a b").name == "a b"


@pytest.mark.slow
def test_a_study_without_a_baseline_is_warned_of_once_before_it_runs(capsys, here):
    assert main([*DEMO, "--augmentations", "mixup,fmix"]) == 0
    said = capsys.readouterr().err
    assert said.count("demo has no baseline, so its report will show levels and compare nothing; add baseline to") == 1
    assert main([*DEMO, "--augmentations", "baseline,fmix"]) == 0
    assert "baseline" not in capsys.readouterr().err
