"""The command line as a user meets it: a whole study, then every mistake she could make, each one clear message."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from patches import TEST

from mixlens.analysis.data.load import source_names
from mixlens.analysis.presentation.svg import plain_svg
from mixlens.cli.main import main

pytestmark = pytest.mark.usefixtures("page_alone")

DATA = ["--data", "patches:few"]
DEMO = ["run", "demo", "--sections", "vae", *DATA]
TINY = ["--vae.epochs", "1", "--vae.latents", "4", "--vae.batch-size", "32", "--quiet", "--threads", "1"]
TINY += ["--vae.critic-steps", "20", "--vae.oracle-samples", "0"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished two-seed study of a few images, in an output folder."""
    out = tmp_path_factory.mktemp("runs")
    assert main([*DEMO, "--seeds", "2", "--augmentations", "baseline,fmix", "--out", str(out), *TINY]) == 0
    return out


def test_variants_stand_beside_their_study(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "name: mine\nseeds: 1\naugmentations: [baseline]\nsections: [vae]\nvariants: {plain: {vae: {jitter: 0}}}\n",
        encoding="utf-8",
    )
    assert main(["run", str(file), *DATA, "--out", str(tmp_path), *TINY]) == 0
    page = (tmp_path / "mine" / "report.html").read_text(encoding="utf-8")
    assert "Baseline [jitter=0], second training" in page
    assert (tmp_path / "mine-plain" / "study.json").exists()
    assert not (tmp_path / "mine-plain" / "report.html").exists(), "one report for both"


@pytest.mark.slow
def test_several_values_of_a_setting_are_several_studies_in_one_report(
    tmp_path: Path, failing: Callable[..., str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mixlens.reports.content.plain_svg", plain_svg)  # with its figures
    out, named = tmp_path / "out", "baseline,soft=mixup(alpha=[5,2])"
    command = ["gallery", "--data", "photos", "--train-size", "200,100", "--augmentations", named, "--name", "mine"]
    command += ["--out", str(out), "--seeds", "1"]
    assert main([*command, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert shown.index("mine (train_size=100): 1 replicate") < shown.index("mine (train_size=200): 1 replicate")
    assert not out.exists()
    assert main([*command, "--quiet"]) == 0
    folders = [out / f"mine (train_size={size})" for size in (100, 200)]
    kept = [json.loads((folder / "study.json").read_text(encoding="utf-8")) for folder in folders]
    assert [(each["settings"]["train_size"], each["train_images"]) for each in kept] == [(100, 100), (200, 200)]
    assert (out / "mine" / "rows.csv").is_file()
    page = (out / "mine" / "report.html").read_text(encoding="utf-8")
    assert "soft (alpha=2), mixed" in page
    assert "mixup(alpha=2" not in page.partition('<section id="study"')[0]
    capsys.readouterr()
    assert main(command) == 0
    assert capsys.readouterr().err.count("0 tasks run, 1 taken from") == 2
    page = (out / "mine" / "report.html").read_text(encoding="utf-8")  # with another time
    assert main(["report", str(out / "mine"), "--out", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "report.html").read_text(encoding="utf-8") == page
    message = failing("compare", str(out / "mine"), str(folders[0]))
    assert "several studies; name one of them" in message
    (out / "mine" / "parts.json").write_text("{")
    assert "parts.json is damaged" in failing("report", str(out / "mine"))


@pytest.mark.parametrize(
    ("augmentations", "message"),
    [
        ("a=fmix,a=mixup", "two augmentations are named 'a'"),
        ("fmix=mixup", "cannot be named 'fmix'"),
        ("1a=mixup", "is no plain one"),
        ("a=fmix,fmix", "augmentation 'fmix' is listed twice"),
        ("a=", "augmentation ''"),
    ],
)
def test_a_bad_name_of_an_augmentation_is_one_message(
    augmentations: str, message: str, failing: Callable[..., str], tmp_path: Path
) -> None:
    for command in (["vae", "--data", "photos", "--out"], ["masks", "--out"]):
        assert message in failing(*command, str(tmp_path / "x.svg"), "--augmentations", augmentations)


def test_a_study_leaves_a_report_rows_and_a_record(study: Path) -> None:
    page = (study / "demo" / "report.html").read_text(encoding="utf-8")
    rows = pd.read_csv(study / "demo" / "rows.csv")
    assert "Table 1" in page
    assert (study / "demo" / "report.pdf").stat().st_size > 10_000
    assert {"rate", "rate_reconstruction", "mse", "rate_gaussian", "infonce", "paired_infonce"} < set(rows["quantity"])
    assert set(rows["seed"].dropna()) == {0, 1}
    of_pairs = rows.dropna(subset="seed")  # the linear VAE has none
    assert len(of_pairs) == of_pairs["quantity"].nunique() * 3 * 2  # (baseline with itself, baseline, fmix) × seeds
    assert (rows["n"] == TEST).all()
    record = json.loads((study / "demo" / "study.json").read_text(encoding="utf-8"))
    assert all(task["state"] == "done" for task in record["tasks"])
    assert not list((study / "runs").glob("*.partial"))
    assert not list((study / "runs").glob("*.lease"))


def test_running_again_trains_nothing_and_gives_the_same_rows(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (study / "demo" / "rows.csv").read_bytes()
    times = {path: path.stat().st_mtime_ns for path in (study / "runs").glob("*/model.safetensors")}
    assert main([*DEMO, "--seeds", "2", "--augmentations", "baseline,fmix", "--out", str(study), *TINY]) == 0
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert (study / "demo" / "rows.csv").read_bytes() == before
    assert main(["report", str(study / "demo")]) == 0
    assert (study / "demo" / "rows.csv").read_bytes() == before


def test_the_vae_command_shares_runs_with_a_study_of_the_same_settings(study: Path) -> None:
    trained = set((study / "runs").glob("vae-train-*"))
    arguments = ["vae", "--config", "demo", *DATA, "--name", "alone", "--seeds", "0,1"]
    arguments += ["--augmentations", "baseline,fmix(alpha=1.0)"]
    assert main([*arguments, "--out", str(study), *TINY]) == 0
    assert set((study / "runs").glob("vae-train-*")) == trained
    assert (study / "alone" / "report.html").exists()


def test_a_users_own_augmentation_and_data(here: Path) -> None:
    (here / "my_code.py").write_text(
        "import numpy as np\n"
        "def mirror(strength=1.0):\n"
        "    def mix(x, y, *, generator=None):\n"
        "        return x * (1 - strength) + strength * x.flip(3), y\n"
        "    return mix\n"
        "def noise():\n"
        "    rng = np.random.default_rng(0)\n"
        "    images = rng.integers(0, 256, (80, 3, 32, 32), dtype=np.uint8)\n"
        "    labels = np.arange(80) % 4\n"
        "    return dict(train_images=images[:64], train_labels=labels[:64], test_images=images[64:],\n"
        "                test_labels=labels[64:], classes=list('abcd'), mean=[.5] * 3, std=[.25] * 3)\n",
        encoding="utf-8",
    )
    arguments = [
        "vae",
        "--data",
        "my_code:noise",
        "--train-size",
        "64",
        "--augmentations",
        "baseline,my_code:mirror(strength=0.5)",
    ]
    assert main([*arguments, *TINY, "--seeds", "1", "--name", "mine"]) == 0
    page = (here / "mixlens-runs" / "mine" / "report.html").read_text(encoding="utf-8")
    assert "my_code:mirror (strength=0.5)" in page


def test_settings_of_a_study_file_are_overridden_on_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        "name: from-file\ndata: patches:few\nseeds: [5]\naugmentations: [baseline]\n"
        "vae: {epochs: 3, latents: 4, batch_size: 32, learning_rate: 1e-3, oracle_samples: 0, critic_steps: 20}\n",
        encoding="utf-8",
    )
    overrides = ["--vae.epochs", "1", "--vae.milestones", "0.5", "0.9", "--vae.no-flip"]
    assert main(["run", str(file), *overrides, "--out", str(tmp_path), "--quiet"]) == 0
    settings = json.loads((tmp_path / "from-file" / "study.json").read_text(encoding="utf-8"))["settings"]
    assert settings["vae"]["epochs"] == 1
    assert settings["vae"]["learning_rate"] == 1e-3
    assert settings["vae"]["milestones"] == [0.5, 0.9]
    assert settings["vae"]["flip"] is False
    assert settings["seeds"] == [5]


def test_diverged_training_fails_alone_and_exits_with_1(here: Path) -> None:
    """One seed of one augmentation diverges; the report holds the rest and says so."""
    (here / "broken_mix.py").write_text(
        "import torch\n"
        "calls = 0\n"
        "def make():\n"
        "    def mix(x, y, *, generator=None):\n"
        "        global calls\n"
        "        calls += 1\n"  # two calls are the trial before training, the next two are seed 0's only epoch
        "        return (x * float('nan') if 2 < calls < 5 else x), y\n"
        "    return mix\n",
        encoding="utf-8",
    )
    arguments = [
        *DEMO,
        "--seeds",
        "2",
        "--augmentations",
        "baseline,broken_mix:make",
        "--out",
        str(here),
        *TINY,
    ]
    assert main(arguments) == 1
    page = (here / "demo" / "report.html").read_text(encoding="utf-8")
    assert "2 of 14 tasks did not finish" in page
    assert "loss became nan" in page
    (record,) = (here / "runs").glob("*.partial/failed.json")
    assert "loss became nan" in json.loads(record.read_text(encoding="utf-8"))["reason"]
    rows = pd.read_csv(here / "demo" / "rows.csv")
    assert set(rows.loc[rows["augmentation"] == "broken_mix:make", "seed"]) == {1}


def test_an_augmentation_that_fails_says_so_before_anything_is_trained(here: Path, failing: Callable[..., str]) -> None:
    (here / "no_generator.py").write_text("def make():\n    return lambda x, y: (x, y)\n", encoding="utf-8")
    message = failing(*DEMO, "--augmentations", "baseline,no_generator:make", "--out", "o", *TINY)
    assert "no_generator:make" in message
    assert "generator" in message
    assert not list((here / "o" / "runs").glob("vae-*"))


@pytest.mark.slow
def test_an_edited_augmentation_is_trained_anew(here: Path) -> None:
    arguments = [*DEMO, "--seeds", "1", "--augmentations", "my_mix:make", "--out", str(here), *TINY]
    counts = []
    for strength in ("0.1", "0.1", "0.90"):  # of another length: an import looks at size and second
        code = f"def make():\n    return lambda x, y, *, generator=None: (x * {strength}, y)\n"
        (here / "my_mix.py").write_text(code, encoding="utf-8")
        sys.modules.pop("my_mix", None)  # as in a process of its own
        assert main(arguments) == 0
        counts.append(len(list((here / "runs").glob("vae-train-*"))))
    assert counts == [2, 2, 3]


def test_an_unfinished_study_can_be_reported(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(study), str(copy)], check=True)
    from mixlens.vae import run

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "train_vae", interrupted)
    arguments = [*DEMO, "--seeds", "3", "--augmentations", "baseline,fmix", "--out", str(copy), *TINY]
    assert main(arguments) == 130
    assert main(["report", str(copy / "demo")]) == 0
    page = (copy / "demo" / "report.html").read_text(encoding="utf-8")
    assert "6 of 20 tasks did not finish" in page
    assert "pending" in page


def test_the_folder_of_the_study_is_tried_before_training(failing: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    assert "taken" in failing(*DEMO, "--name", "taken", "--out", str(tmp_path), *TINY)
    assert not list((tmp_path / "runs").glob("vae-*"))


def test_the_recorded_precision_is_the_one_used(tmp_path: Path) -> None:
    arguments = [*DEMO, "--seeds", "1", "--augmentations", "baseline", "--out", str(tmp_path), *TINY]
    assert main([*arguments, "--vae.precision", "bf16"]) == 0
    for kind, precision in (("vae-train", "bf16"), ("vae-measure", "fp32")):
        for run in (tmp_path / "runs").glob(f"{kind}-*"):
            assert json.loads((run / "environment.json").read_text(encoding="utf-8"))["precision"] == precision


def test_names_from_a_users_config_are_escaped_in_the_report(tmp_path: Path) -> None:
    arguments = ["--augmentations", "baseline", "--seeds", "1", "--out", str(tmp_path), *TINY]
    assert main([*DEMO, "--name", "a&b 'c'", *arguments]) == 0
    page = (tmp_path / "a&b 'c'" / "report.html").read_text(encoding="utf-8")
    assert "Study a&amp;b &#39;c&#39;, started" in page
    assert main([*DEMO, "--name", "<b>", *arguments]) == 2  # no folder name everywhere


def test_information_of_a_file_and_of_the_oracle(tmp_path, capsys) -> None:
    draw = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", mu=draw.normal(size=(300, 4)), log_sigma=np.full((300, 4), -1.0))
    assert main(["information", str(tmp_path / "a.npz"), "--k", "30", "--unit", "bits"]) == 0
    shown = capsys.readouterr().out
    assert all(words in shown for words in ("bits", "≤ upper", "≥ lower", "InfoNCE, K = 30", "ceiling 4.907"))
    arguments = ["--level", "40", "--dimensions", "8", "--samples", "200", "--critic-steps", "5"]
    assert main(["oracle", *arguments]) == 0
    shown = capsys.readouterr().out
    assert all(words in shown for words in ("truth", "I(Z′_A;X̂) re-encoded", "KSG 2", "saturated", "no bound"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "dmeo"], ["dmeo", "Did you mean 'demo'"]),
        (["run", "no/such.yaml"], ["no/such.yaml", "No such file"]),
        (["run"], ["study"]),
        (["rnu", "demo"], ["rnu"]),
        (["run", "demo", "--sedes", "2"], ["--sedes", "Did you mean --seeds"]),
        (["run", "demo", "--vae.epohcs", "3"], ["--vae.epohcs", "--vae.epochs"]),
        (["run", "demo", "--vae.epochs", "many"], ["--vae.epochs", "many"]),
        (["run", "demo", "--vae.epochs", "0"], ["epochs must be at least 1"]),
        (["run", "demo", "--vae.mix-mode", "btach"], ["btach"]),
        (["run", "demo", "--vae.jitter", "2"], ["jitter"]),
        (["run", "demo", "--seeds", "two"], ["seeds are a count (5) or a list (0,3,7)", "two"]),
        (["run", "demo", "--seeds", "1,1"], ["different"]),
        (["run", "demo", "--seeds", "0"], ["seeds"]),
        (["run", "demo", "--augmentations", "baseline,fmxi"], ["fmxi", "Did you mean 'fmix'"]),
        (["run", "demo", "--augmentations", "fmix(alpha=0)"], ["alpha must be a positive number"]),
        (["run", "demo", "--augmentations", "fmix(decay_power=-1)"], ["decay_power"]),
        (["run", "demo", "--augmentations", "fmix(aplha=1)"], ["aplha", "Did you mean 'alpha'"]),
        (["run", "demo", "--augmentations", "fmix(alpha=1"], ["fmix(alpha=1"]),
        (["run", "demo", "--augmentations", "fmix,fmix(alpha=1.0)"], ["listed twice"]),
        (["run", "demo", "--augmentations", "no_such_module:make"], ["no_such_module"]),
        (["run", "demo", "--data", "phtoos"], ["phtoos", "Did you mean 'photos'"]),
        (
            ["run", "demo", "--data", "cifar10", "--data-root", "no/such/folder"],
            ["no/such/folder", "mixlens data cifar10 --fetch"],
        ),
        (["run", "demo", "--train-size", "99999"], ["99999"]),
        (["run", "demo", "--device", "cdua"], ["cdua", "Did you mean 'cuda'"]),
        (["run", "demo", "--threads", "0"], ["threads"]),
        (["information"], ["--file", "requires an argument"]),
        (["information", "a.npz", "--level", "3"], ["--level"]),
        (["information", "no/such.npz"], ["there is no file no/such.npz"]),
        (["oracle", "--level", "-1"], ["nats is an information"]),
        (["oracle", "--samples", "10"], ["at least 200 samples, got 10"]),
        (["oracle", "--dimensions", "0"], ["dimensions must be at least 1"]),
        (["oracle", "--unit", "bats"], ["bats"]),
        (["oracle", "--seed", "-1"], ["--seed"]),
        (["oracle", "--critic-steps", "0"], ["--critic-steps"]),
        (["oracle", "--fit", "a.npz"], ["--fit"]),
        (["data", "cifar"], ["cifar", "Did you mean 'cifar10'"]),
        (
            ["data", "cifar10", "--data-root", "no/such/folder"],
            ["cifar10 is not complete", "mixlens data cifar10 --fetch"],
        ),
        (["data", "--fetch"], ["name what to fetch: bengali, cifar10, cifar100, cifar10h, fashion_mnist, folder"]),
        (["masks", "--lam", "1.5"], ["lam must lie in [0, 1]"]),
        (["masks", "--out", "masks.gif"], ["masks.gif"]),
        (["masks", "--augmentations", "baseline"], ["baseline"]),
        (["masks", "--columns", "1"], ["--columns"]),
        (["masks", "--size", "32,32,32,32"], ["--size", "one to three sides", "32,32,32,32"]),
        (["masks", "--size", "1"], ["--size", "of 2 to 65,536"]),
        (["masks", "--size", "32x32"], ["--size", "as 200, 32,32 or 32,32,32", "32x32"]),
        (["masks", "--size", "200", "--data", "photos"], ["leave one of --size and --data out"]),
        (["masks", "--size", "200", "--count", "1"], ["--count must be 2 to 100,000, got 1"]),
        (["masks", "--size", "128,128,128"], ["--count 500", "2,097,152 positions", "give 64 at most"]),
        (["report", "no/such/folder"], ["no/such/folder"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0] in ("run", "rnu", "data", "masks", "report") else "",
)
def test_a_mistake_is_one_clear_message(
    arguments: list[str], words: list[str], failing: Callable[..., str], here: Path
) -> None:
    message = failing(*arguments)
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data: [photos", ["not valid YAML", "line"]),
        ("- photos", ["mapping"]),
        ("dta: photos", ["dta", "Did you mean 'data'"]),
        ("data: photos\nvae: {epoch: 3}", ["epoch", "Did you mean 'epochs'"]),
        ("data: photos\nvae: 3", ["vae", "mapping"]),
        ("data: photos\nseeds: [a]", ["seeds", "whole number"]),
        ("data: photos\nsections: [vea]", ["vea", "Did you mean 'vae'"]),
        ("name: ../up", ["name"]),
    ],
)
def test_a_broken_study_file_is_one_clear_message(
    text: str, words: list[str], failing: Callable[..., str], tmp_path: Path
) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(text, encoding="utf-8")
    message = failing("run", str(file), "--out", str(tmp_path))
    for word in words:
        assert word in message


def test_an_unwritable_output_folder(failing: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "file" in failing(*DEMO, "--out", str(tmp_path / "file" / "under"), *TINY)


@pytest.mark.parametrize(
    "name",
    ["result.json", *(pytest.param(name, marks=pytest.mark.slow) for name in ("model.safetensors", "config.json"))],
)
def test_a_damaged_run_is_named_and_the_rest_is_kept(
    name: str, study: Path, failing: Callable[..., str], tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(study), str(copy)], check=True)
    victim = sorted((copy / "runs").glob("vae-train-*"))[0] / name
    victim.write_bytes(victim.read_bytes()[: victim.stat().st_size // 2])
    for measured in (copy / "runs").glob("vae-measure-*"):  # so that the weights are read again
        subprocess.run(["rm", "-r", str(measured)], check=True)
    message = failing(*DEMO, "--seeds", "2", "--augmentations", "baseline,fmix", "--out", str(copy), *TINY, status=1)
    assert str(victim.parent) in message
    assert len(list((copy / "runs").glob("vae-train-*"))) == len(list((study / "runs").glob("vae-train-*")))


@pytest.mark.parametrize("suffix", [".svg", pytest.param(".png", marks=pytest.mark.slow)])
def test_masks_draws_files(suffix: str, tmp_path: Path) -> None:
    assert main(["masks", "--columns", "2", "--out", str(tmp_path / f"m{suffix}")]) == 0
    assert (tmp_path / f"m{suffix}").stat().st_size > 5000
    assert (tmp_path / f"m-spectra{suffix}").stat().st_size > 5000


@pytest.mark.parametrize(
    ("size", "beside"), [("40", ["spectra"]), ("8,9", ["spectra"]), ("6,5,8", ["slices", "spectra"])]
)
def test_masks_of_any_size_are_drawn_and_told_apart(
    size: str, beside: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "m.png"
    assert main(["masks", "--size", size, "--columns", "2", "--count", "30", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    files = [out, *(tmp_path / f"m-{name}.png" for name in beside)]
    files += [tmp_path / f"m-structure.{suffix}" for suffix in ("csv", "json")]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert [line for line in shown.splitlines() if line.startswith("/")] == list(map(str, files))
    record = json.loads(files[-1].read_text(encoding="utf-8"))
    assert record["size"] == [int(side) for side in size.split(",")]
    with files[-2].open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(record["rows"])
    assert {row["augmentation"] for row in rows} == {"cutmix", "fmix", "fmix-official"}, "MixUp's say nothing"
    if size == "40":
        (official,) = (row for row in rows if (row["augmentation"], row["name"]) == ("fmix-official", "transitions"))
        assert (float(official["value"]), float(official["stderr"]), official["masks"]) == (2, 0, "30")
        assert "one segment of ones" in shown


def test_data_reports_the_photographs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "photos"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("photos: 6,000 patches")
    assert shown.count("ok ") == len(shown.splitlines()) - 1 == 10


@pytest.mark.skipif("MIXLENS_DATA" not in os.environ, reason="needs CIFAR-10: set MIXLENS_DATA")
def test_data_verifies_cifar10(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data"]) == 0
    states = {name: state for state, name, *_ in map(str.split, capsys.readouterr().out.splitlines())}
    assert list(states) == source_names()
    assert (states["cifar10"], states["photos"], states["folder"]) == ("ok", "ok", "own")
    assert states["imagenet"] == states["bengali"] == "missing"
    assert main(["data", "cifar10"]) == 0
    assert capsys.readouterr().out.count("ok ") == 7


def test_help_shows_defaults_and_their_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vae", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "Passes over the training images. Default: 100. Source: published code." in shown


def test_it_runs_as_a_module_and_as_a_command() -> None:
    ran = subprocess.run([sys.executable, "-m", "mixlens", "--version"], capture_output=True, text=True, check=True)
    assert ran.stdout.strip()


def test_an_interrupt_says_how_to_go_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mixlens.analysis.study.conduct.execute", interrupted)
    assert main([*DEMO, "--out", str(tmp_path), *TINY]) == 130
    assert "same command again" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        *("vae", "train"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("robustness", "gradcam", "calibration", "representations", "gallery")
        ),
    ],
)
def test_every_section_shows_its_plan_and_makes_nothing(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--seeds", "1", "--augmentations", "baseline", "--train-size", "200", "--out", str(tmp_path / "runs")]
    assert main([command, "--config", "demo", *small, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "0 done" in shown
    assert command == "gallery" or "measured step" in shown
    assert not (tmp_path / "runs").exists()


def test_a_plan_before_the_data_are_there(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    """CIFAR-10's shape is known; a step of each network is measured, nothing is written or downloaded."""
    monkeypatch.setattr("socket.socket", None)
    narrow = ["--model", "preact-resnet18(width=2)", "--sections", "classifier,gradcam", "--seeds", "2"]
    command = ["run", "cpu", *narrow, "--out", str(tmp_path / "out"), "--data-root", str(tmp_path / "data")]
    assert main([*command, "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert "170 MB to download (mixlens data cifar10 --fetch)" in shown.out
    assert "past runs cannot be looked up" in shown.out
    trained = next(line.split() for line in shown.out.splitlines() if "classifier-train" in line)
    assert trained[1:4] == ["10", "0", "0"], "five augmentations, two seeds"
    assert "measured step" in " ".join(trained)
    assert "timing the first steps: train classifier, fmix-official, seed 1" in shown.err
    assert not list(tmp_path.iterdir())
    assert main(command) == 2, "it cannot be run"
    assert "mixlens data cifar10 --fetch" in capsys.readouterr().err


def test_what_a_download_would_be(tmp_path: Path, capsys: pytest.CaptureFixture[str], failing) -> None:
    assert main(["data", "cifar10", "--fetch", "--dry-run", "--data-root", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "cifar10: 170 MB to download"
    assert lines[1] == f"missing  {tmp_path / 'cifar-10-batches-py' / 'data_batch_1'}"
    assert len(lines) == 8
    assert main(["data", "photos", "--fetch", "--dry-run"]) == 0
    assert capsys.readouterr().out == "photos: 0 MB to download\n"
    assert not list(tmp_path.iterdir())
    assert "--dry-run shows what --fetch would download" in failing("data", "photos", "--dry-run")


def test_where_everything_is_ends_a_run(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [*DEMO, "--seeds", "2", "--augmentations", "baseline,fmix", "--out", str(study), *TINY, "--log", "csv"]
    assert main(asked) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"report  {study}/demo/report.html",
        f"PDF     {study}/demo/report.pdf",
        f"rows    {study}/demo/rows.csv",
        f"curves  {study}/demo/history.csv",
        f"runs    {study}/runs",
    ]
    curves = pd.read_csv(study / "demo" / "history.csv")
    assert len(curves) == 6, "a reference and two others for each seed, of an epoch"
    pixels = 3 * 32 * 32
    assert np.allclose(curves["test_neg_elbo"], curves["test_rate"] + pixels / 2 * curves["test_mse"])


def test_a_log_that_cannot_be_written_is_one_message(study: Path, failing: Callable[..., str], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(study), str(copy)], check=True)
    (copy / "demo" / "history.csv").unlink(missing_ok=True)
    (copy / "demo" / "history.csv").mkdir()
    asked = [*DEMO, "--seeds", "2", "--augmentations", "baseline,fmix", "--out", str(copy), *TINY, "--log", "csv"]
    assert f"cannot write {copy}/demo/history.csv: Is a directory" in failing(*asked)


def test_logs_that_cannot_be_are_known_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: Callable[..., str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    message = failing(*DEMO, "--out", str(tmp_path / "out"), *TINY, "--log", "tensorboard")
    assert "pip install tensorboard" in message
    assert not list(tmp_path.glob("out/runs/*"))
    assert "--log" in failing(*DEMO, "--log", "tensorbord")
