"""Where workers come from, and what is said where they cannot be had."""

import os
import re
import socket
import sys
import time
from contextlib import contextmanager
from importlib import util
from types import SimpleNamespace

import pytest
from jobs import deed, deeds

from mixlens.analysis.errors import InputError
from mixlens.analysis.interface import Machine, Study
from mixlens.analysis.study.executors import clusters
from mixlens.analysis.study.executors.clusters import gpu_variables, started, worker_count

needs_extra = pytest.mark.skipif(util.find_spec("distributed") is None, reason="needs the extra [cluster]")


@pytest.mark.parametrize("text", ["slrum", "tcp://", "tcp://host", "host:8786", "tcp://host:port", "http://host:1"])
def test_another_cluster_is_refused_with_the_forms(text):
    with pytest.raises(InputError, match=r"cluster must be slurm, or .*tcp://host:port; got " + re.escape(repr(text))):
        Machine(cluster=text)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cluster": "slurm"}, "needs --workers"),
        ({"cluster": "tcp://host:1", "workers": 2}, "leave --workers out"),
        ({"workers": 2, "at_once": 2}, "--at-once is for one process alone"),
        ({"cluster": "tcp://host:1", "at_once": 2}, "--at-once is for one process alone"),
        ({"workers": 0}, "workers must be at least 1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Machine(**settings)


@pytest.mark.parametrize("settings", [{"workers": 2}, {"cluster": "tcp://host:1"}, {"cluster": "slurm", "workers": 1}])
def test_without_the_extra_it_is_named(settings, monkeypatch):
    monkeypatch.setattr(clusters, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=re.escape('pip install "mixlens[cluster]"')):
        worker_count(Machine(**settings))


@pytest.mark.parametrize(
    ("gpus", "extra", "settings", "count"),
    [
        (0, True, {}, 1),
        (1, True, {}, 1),
        (4, True, {}, 4),
        (4, False, {}, 1),  # the plain loop
        (4, True, {"device": "cpu"}, 1),
        (4, True, {"device": "cuda:1"}, 1),
        (4, True, {"at_once": 8}, 1),
        (4, True, {"workers": 1}, 1),
        (4, True, {"workers": 3}, 3),
        (0, True, {"workers": 3}, 3),
    ],
)
def test_by_default_there_is_a_worker_for_each_gpu(gpus, extra, settings, count, monkeypatch):
    monkeypatch.setattr(clusters, "find_spec", lambda name: extra or None)
    monkeypatch.setattr(clusters.torch.cuda, "device_count", lambda: gpus)
    assert worker_count(Machine(**settings)) == count


def test_gpus_are_dealt_out_in_turn_and_each_worker_sees_one():
    def seen(*given):
        return [variables.get("CUDA_VISIBLE_DEVICES") for variables in gpu_variables(*given)]

    assert seen(4, 2, None) == ["0", "1", "0", "1"]
    assert seen(2, 2, "5,7") == ["5", "7"]
    assert seen(2, 1, "GPU-abc") == ["GPU-abc", "GPU-abc"]
    assert seen(3, 0, None) == [None] * 3


def test_slurm_needs_its_commands(monkeypatch):
    monkeypatch.setattr(clusters, "find_spec", lambda name: True)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match="needs the command sbatch"):
        worker_count(Machine(cluster="slurm", workers=2))


@needs_extra
def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr(clusters, "CONNECT_SECONDS", 0.5)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with (
        pytest.raises(InputError, match=f"no Dask scheduler answers at {address}.*dask worker {address} --nthreads 1"),
        started(Machine(cluster=address), None),
    ):
        pass


@needs_extra
@pytest.mark.parametrize(("count", "threads", "message"), [(0, 1, "has no workers"), (1, 2, "several tasks at once")])
def test_a_running_scheduler_needs_workers_of_one_thread(count, threads, message):
    from distributed import LocalCluster

    local = LocalCluster(
        n_workers=count, threads_per_worker=threads, processes=False, dashboard_address=":0", protocol="tcp"
    )
    with (
        local as cluster,
        pytest.raises(InputError, match=message),
        started(Machine(cluster=cluster.scheduler_address), None),
    ):
        pass


SBATCH = """#!/bin/sh
# A SLURM that starts a job at once: the batch script in the background. One queue alone is there.
if [ "$1" = --test-only ]; then
    grep -q -- "-p gpus" "$2" && exit 0
    echo "sbatch: error: invalid partition specified" >&2
    exit 1
fi
cp "$1" "{folder}/script.$$"
setsid sh "{folder}/script.$$" > "{folder}/job.$$" 2>&1 &
echo $! >> "{folder}/pids"
echo "Submitted batch job $!"
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Stand-ins of sbatch and scancel."""
    for name, text in (("sbatch", SBATCH.format(folder=tmp_path)), ("scancel", '#!/bin/sh\nkill -- "-$1"\n')):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))


def described(**settings):
    """Of jobs, as jobqueue.yaml does."""
    import dask
    import dask_jobqueue  # noqa: F401  has defaults

    return dask.config.set({f"jobqueue.slurm.{name.replace('_', '-')}": value for name, value in settings.items()})


@needs_extra
@pytest.mark.slow
def test_jobs_work_on_a_study(tmp_path, slurm):
    """By stand-ins of SLURM's commands: what is asked for, the work, and that the jobs end with the study."""
    from mixlens.analysis.store.runs import Store
    from mixlens.analysis.study.executors.dask import execute
    from mixlens.analysis.training.progress import Reporter

    jobs = {"cores": 6, "memory": "2GB", "queue": "gpus", "walltime": "04:00:00", "local_directory": str(tmp_path)}
    jobs |= {"job_extra_directives": ["--gres=gpu:1"], "interface": "lo"}
    machine = Machine(cluster="slurm", workers=1, device="cpu")
    assert worker_count(machine) == 1
    log, store = tmp_path / "log", Store(tmp_path / "out")
    with described(**jobs):
        with started(machine, 1) as workers:
            assert workers.machine.threads == 6
            study = Study(name="study", data="jobs:data")
            outcome = execute([deed("a", log)], store, study, lambda: workers, Reporter(quiet=True))
        assert (outcome.fresh, deeds(log)) == (1, ["a"])
    script = next(tmp_path.glob("script.*")).read_text()
    for asked in ("-p gpus", "--cpus-per-task=6", "--gres=gpu:1", "-t 04:00:00", "--nthreads 1", "--memory-limit 0"):
        assert asked in script
    pid = int((tmp_path / "pids").read_text().split()[0])
    until = time.monotonic() + 10
    while _runs(pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert not _runs(pid)


def _runs(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Jobs:
    """A cluster whose jobs have these numbers."""

    def __init__(self, *numbers):
        self.workers = {number: SimpleNamespace(job_id=str(number)) for number in numbers}


@pytest.mark.parametrize(
    ("squeue", "numbers", "words"),
    [
        ("echo 3 PENDING Resources; echo 4 RUNNING None", (3, 4), "waiting for workers: 1 × PENDING Resources, 1 × RU"),
        ("exit 1", (), "waiting for workers"),
    ],
)
def test_where_jobs_are_is_said_while_there_are_no_workers(squeue, numbers, words, tmp_path, monkeypatch):
    _command(tmp_path, monkeypatch, "squeue", squeue)
    assert clusters._queued(Jobs(*numbers)).startswith(words)


@pytest.mark.parametrize("squeue", ["exit 1", "exit 0"])  # unknown, or not listed any more
def test_jobs_that_all_ended_are_not_waited_for(squeue, tmp_path, monkeypatch):
    _command(tmp_path, monkeypatch, "squeue", squeue)
    with pytest.raises(InputError, match="SLURM's jobs 3, 4 ended before a worker answered"):
        clusters._queued(Jobs(3, 4))


def _command(folder, monkeypatch, name, text):
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_a_crew_is_hired_once_and_ends_with_its_context(monkeypatch):
    log = []

    @contextmanager
    def started(machine, count):
        log.append(f"{count} begin")
        yield clusters.Workers(None, machine)
        log.append("end")

    monkeypatch.setattr(clusters, "started", started)
    with clusters.Crew():
        pass
    with clusters.Crew() as crew:
        assert crew.hire(Machine(), 2) is crew.hire(Machine(), 2)
    assert log == ["2 begin", "end"]


@needs_extra
def test_slurm_without_a_description_of_its_jobs_says_where_that_stands():
    with (
        described(),
        pytest.raises(InputError, match=r"cores and memory.* jobqueue\.yaml"),
        started(Machine(cluster="slurm", workers=1), 1),
    ):
        pass


@needs_extra
def test_jobs_that_slurm_would_not_take_are_not_waited_for(slurm):
    refused = pytest.raises(InputError, match=r"invalid partition specified\); mend jobqueue\.yaml")
    with described(cores=1, memory="1GB", queue="gpsu"), refused, started(Machine(cluster="slurm", workers=1), 1):
        pass
