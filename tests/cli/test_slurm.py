"""A study by jobs: a SLURM of this machine alone, from Debian's slurm-wlm and munge, where they are installed."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from mixlens.cli.main import main

SCRIPT = Path(__file__).parents[2] / "scripts" / "slurm_here.sh"
DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch")
NEEDED = all(shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in DAEMONS)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not NEEDED, reason="needs SLURM: apt-get install slurm-wlm munge"),
    pytest.mark.skipif(find_spec("dask_jobqueue") is None, reason="needs the extra [cluster]"),
]

STUDY = ["run", "demo", "--name", "s", "--sections", "vae,gallery", "--train-size", "200", "--seeds", "1", "--threads"]
STUDY += ["1", "--augmentations", "baseline,mixup", "--vae.epochs", "1", "--vae.latents", "8", "--vae.batch-size", "32"]
STUDY += ["--vae.critic-steps", "20", "--vae.oracle-samples", "0", "--vae.precision", "fp32"]
SLURM = ["--cluster", "slurm", "--workers", "2"]

JOBQUEUE = """
jobqueue:
  slurm:
    cores: 1
    memory: 2GB
    walltime: "00:10:00"
    interface: lo
    queue: {queue}
    python: {python}
    log-directory: {folder}/logs
    local-directory: {folder}
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """The variables with which a command speaks to it."""
    folder = tmp_path_factory.mktemp("slurm")
    try:
        subprocess.run([SCRIPT, "start", folder], check=True, timeout=60)
        yield {"SLURM_CONF": f"{folder}/slurm.conf"}
    finally:
        subprocess.run([SCRIPT, "stop", folder], timeout=60)


@pytest.fixture
def mixlens(slurm, tmp_path):
    def run(*arguments, queue="here", python=sys.executable):
        (tmp_path / "jobqueue.yaml").write_text(JOBQUEUE.format(folder=tmp_path, queue=queue, python=python))
        environment = {**os.environ, **slurm, "DASK_CONFIG": str(tmp_path), "OMP_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        command = [sys.executable, "-m", "mixlens", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)

    return run


def queued(slurm):
    asked = ["squeue", "--noheader", "--states=PENDING,RUNNING"]
    return subprocess.run(asked, env={**os.environ, **slurm}, capture_output=True, text=True).stdout


def test_a_study_by_two_jobs_has_the_plain_loops_rows_and_leaves_no_job(mixlens, slurm, tmp_path):
    jobs = mixlens(*STUDY, *SLURM, "--out", str(tmp_path / "jobs"))
    assert jobs.returncode == 0, jobs.stderr
    assert "2 workers" in jobs.stderr
    assert "8 tasks run, 0 taken" in jobs.stderr
    assert "SLURMCluster-1: " in jobs.stderr, "both of them worked"
    assert not queued(slurm)
    assert main([*STUDY, "--quiet", "--out", str(tmp_path / "plain")]) == 0
    rows = [(tmp_path / name / "s" / "rows.csv").read_bytes() for name in ("jobs", "plain")]
    assert rows[0] == rows[1]
    again = mixlens(*STUDY, *SLURM, "--out", str(tmp_path / "jobs"))
    assert "0 tasks run, 8 taken" in again.stderr
    assert "workers" not in again.stderr, "no job for nothing"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"queue": "none"}, "SLURM would not take a worker's job"),
        ({"python": "/nowhere/python"}, "ended before a worker answered"),
    ],
)
def test_jobs_that_cannot_work_are_one_message(settings, message, mixlens, slurm, tmp_path):
    ended = mixlens(*STUDY, *SLURM, "--out", str(tmp_path / "out"), **settings)
    assert ended.returncode == 2, ended.stderr
    assert message in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
    assert not queued(slurm)
