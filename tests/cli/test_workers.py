"""A study by two worker processes, as a user meets it: interrupted, gone on with, and the same as by one."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from mixlens.cli.main import main

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("distributed") is None, reason="needs the extra [cluster]"),
]

STUDY = [
    "run",
    "demo",
    "--name",
    "two",
    "--sections",
    "vae,gallery",
    "--train-size",
    "200",
    "--seeds",
    "1",
    "--threads",
    "1",
]
STUDY += ["--augmentations", "baseline,mixup", "--vae.latents", "8", "--vae.batch-size", "32"]
STUDY += ["--vae.critic-steps", "20", "--vae.oracle-samples", "0", "--vae.precision", "fp32"]


def test_two_workers_interrupted_and_gone_on_with_make_what_the_plain_loop_makes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plain, several = tmp_path / "plain", tmp_path / "several"
    study = [*STUDY, "--vae.epochs", "3"]
    assert main([*study, "--quiet", "--out", str(plain)]) == 0

    command = [*study, "--workers", "2", "--out", str(several)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    child = subprocess.Popen(
        [sys.executable, "-m", "mixlens", *command], env=environment, start_new_session=True, stderr=subprocess.PIPE
    )
    until = time.monotonic() + 60
    while not list(several.glob("runs/vae-train-*.lease")) and time.monotonic() < until:
        time.sleep(0.01)
    os.killpg(child.pid, signal.SIGINT)  # as Ctrl-C does: to all of them
    assert b"same command again" in child.communicate(timeout=60)[1]
    assert child.returncode == 130
    assert not list(several.glob("runs/*.lease"))

    capfd.readouterr()
    assert main(command) == 0
    said = capfd.readouterr().err
    assert "2 workers" in said
    assert "/8] train VAE, mixup, seed 0: done in" in said
    assert (several / "two" / "rows.csv").read_bytes() == (plain / "two" / "rows.csv").read_bytes()
    weights = sorted(path.relative_to(plain) for path in plain.glob("runs/*/*.safetensors"))
    assert len(weights) >= 3
    for path in weights:
        assert (several / path).read_bytes() == (plain / path).read_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_workers_end_with_the_command_that_started_them(number: signal.Signals, tmp_path: Path) -> None:
    """It alone is told to end, or cannot even say so."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "mixlens", *STUDY, "--vae.epochs", "200", "--workers", "2", "--out", str(tmp_path)]
    child = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    until = time.monotonic() + 120
    while len(leases := list(tmp_path.glob("runs/*.lease"))) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    workers = [json.loads(lease.read_text())["pid"] for lease in leases]
    child.send_signal(number)
    child.communicate(timeout=60)
    assert child.returncode == (-number if number == signal.SIGKILL else 128 + number)
    while any(map(runs, workers)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(runs, workers))
    assert len(set(workers)) == 2
    assert child.pid not in workers
    if number != signal.SIGKILL:
        assert not list(tmp_path.glob("runs/*.lease"))


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
