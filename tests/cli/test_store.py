"""status, verify and clean, on a small finished study; and how a command ends that is told to."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from mixlens.analysis.store.lease import Lease
from mixlens.analysis.store.runs import ARRAYS, FAILED, RESULT
from mixlens.cli.main import main

pytestmark = pytest.mark.usefixtures("page_alone")

SMALL = ["run", "demo", "--quiet", "--seeds", "1", "--data", "patches:few", "--vae.epochs", "1", "--augmentations"]
SMALL += ["baseline", "--sections", "vae", "--vae.latents", "4", "--vae.oracle-samples", "0"]
SMALL += ["--vae.critic-steps", "5", "--vae.batch-size", "32"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("made")
    assert main([*SMALL, "--out", str(out)]) == 0
    return out


@pytest.fixture
def out(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "out"))


def run_of(out, kind):
    return min(path for path in (out / "runs").glob(f"{kind}-*") if path.suffix == "")


def test_a_whole_store_is_verified_and_has_nothing_to_remove(out, capsys):
    assert main(["verify", str(out)]) == 0
    assert re.search(r"runs: \d+ whole$", capsys.readouterr().out.strip())
    assert main(["clean", str(out)]) == 0
    assert "nothing to remove" in capsys.readouterr().out


def test_a_flipped_bit_is_found_removed_and_made_again_alone(out, capsys):
    path = run_of(out, "vae-measure") / ARRAYS
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    others = {p: p.stat().st_mtime_ns for p in (out / "runs").glob("*/result.json") if p.parent != path.parent}
    assert main(["verify", str(out / "demo")]) == 1
    said = capsys.readouterr().out
    assert str(path) in said
    assert "1 damaged" in said
    assert main(["clean", str(out)]) == 0
    assert path.exists(), "shown alone"
    assert main(["clean", str(out), "--yes"]) == 0
    assert not path.parent.exists()
    assert main([*SMALL, "--out", str(out)]) == 0
    assert main(["verify", str(out)]) == 0
    assert {p: p.stat().st_mtime_ns for p in others} == others


def test_what_no_study_lists_and_what_was_begun_can_go_but_not_what_is_at_work(out, capsys):
    runs = out / "runs"
    at_work, begun = (f"vae-train-{digit * 16}" for digit in "ab")
    for name in (at_work, begun):
        (runs / f"{name}.partial").mkdir()
    (runs / f".rows.csv-{'0f' * 8}.tmp").touch()
    lease = Lease(runs, at_work)
    assert lease.acquire()
    shutil.rmtree(out / "demo")
    whole = [path for path in runs.iterdir() if path.is_dir() and not path.suffix]
    assert main(["clean", str(out), "--yes"]) == 0
    assert f"removed {len(whole) + 2}" in capsys.readouterr().out
    lease.release()
    assert [path.name for path in runs.iterdir() if path.name != ".leases.lock"] == [f"{at_work}.partial"]


def test_a_study_whose_record_is_damaged_keeps_everything(out, capsys):
    (out / "demo" / "study.json").write_text("{")
    assert main(["clean", str(out), "--yes"]) == 2
    assert "study.json" in capsys.readouterr().err
    assert run_of(out, "vae-measure").exists()


@pytest.mark.parametrize("runs", ["/", "..", "../nowhere/runs", "../rows"])
def test_a_record_that_leads_elsewhere_cleans_nothing_there(out, failing, runs):
    record = out / "demo" / "study.json"
    record.write_text(record.read_text(encoding="utf-8").replace('"../runs"', f'"{runs}"'), encoding="utf-8")
    (out / "rows").mkdir()
    (out / "rows" / "of_the_user").mkdir()
    for command in (["verify"], ["clean", "--yes"]):
        assert "as the folder of its runs, and no runs are there" in failing(*command, str(out / "demo"))
    assert (out / "rows" / "of_the_user").is_dir()


def test_status_says_what_is_done_at_work_failed_and_left(out, capsys):
    assert main(["status", str(out / "demo")]) == 0
    assert re.search(r"vae-train +\d+ +0 +0 +0", capsys.readouterr().out)
    measured = run_of(out, "vae-measure")
    measured.rename(measured.with_name(f"{measured.name}.partial"))
    assert main(["status", str(out / "demo")]) == 0
    assert "nobody works on it" in capsys.readouterr().out
    lease = Lease(out / "runs", measured.name)
    assert lease.acquire()
    assert main(["status", str(out / "demo")]) == 0
    assert f"process {os.getpid()}, since 20" in capsys.readouterr().out
    lease.release()
    (out / "runs" / f"{measured.name}.partial" / FAILED).write_text('{"reason": "it diverged"}')
    assert main(["status", str(out / "demo")]) == 1
    assert "it diverged" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["status", "verify", "clean"])
def test_a_folder_that_is_neither_is_refused(command, tmp_path, failing):
    assert str(tmp_path) in failing(command, str(tmp_path))


def test_everybody_may_read_what_the_umask_lets_them(out):
    files = [path for path in (out / "runs").rglob("*") if path.is_file() and path.name != ".leases.lock"]
    assert any(path.suffix == ".safetensors" for path in files)
    expected = 0o666 & ~os.umask(0o022)
    os.umask(0o666 & ~expected)
    assert {path.stat().st_mode & 0o777 for path in files} == {expected}


def heard():
    """As from a terminal: what runs in the background may be started deaf to these."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_a_study_that_is_told_to_end_leaves_nothing_half_done(number, tmp_path):
    command = ["500" if word == "1" and before == "--vae.epochs" else word for before, word in pairwise(["", *SMALL])]
    command = [sys.executable, "-m", "mixlens", *command, "--out", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, preexec_fn=heard)
    runs, deadline = tmp_path / "runs", time.monotonic() + 120
    while not list(runs.glob("vae-train-*.partial/checkpoint.safetensors")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "interrupted. Run the same command again" in said
    assert not list(runs.glob("*.lease"))
    assert not [path for path in runs.rglob("*") if path.suffix == ".tmp" or path.name.startswith(".tmp")]
    assert not list(runs.glob(f"vae-train-*/{RESULT}"))


def test_an_error_of_our_own_is_neither_a_failed_task_nor_the_users(monkeypatch, capsys):
    monkeypatch.setattr("mixlens.analysis.data.load.source_names", lambda: 1 / 0)
    assert main(["data"]) == 70
    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said
    assert "error of mixlens itself" in said
