"""Whatever is killed when, a study ends as if nothing had been: the same rows, no file more, nothing done twice.

``MIXLENS_KILLS=50 pytest -m slow tests/cli/test_kills.py -s`` prints the figures of docs/reliability.md.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress

import pandas as pd
import psutil
import pytest

from mixlens.analysis.store.runs import RESULT
from mixlens.cli.main import main

KILLS = int(os.environ.get("MIXLENS_KILLS", "12"))
STUDY = ["run", "demo", "--name", "s", "--seeds", "2", "--train-size", "256", "--augmentations", "baseline,mixup,fmix"]
STUDY += ["--sections", "vae", "--vae.epochs", "6", "--vae.oracle-samples", "300", "--vae.critic-steps", "5"]
STUDY += ["--threads", "1", "--quiet"]


def start(out, *options):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "mixlens", *STUDY, "--out", str(out), *options]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def finished(out):
    """Each whole run's result, by when and where it was written: one that is made again is another."""
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob(f"runs/*[!l]/{RESULT}")}


def files(out):
    return sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())


def rows(out):
    return pd.read_csv(out / "s" / "rows.csv").sort_values(["run", "quantity", "value"], ignore_index=True)


@pytest.mark.slow
def test_a_study_that_is_killed_again_and_again_ends_as_if_it_had_not_been(tmp_path):
    quiet, disturbed = tmp_path / "quiet", tmp_path / "disturbed"
    assert main([*STUDY, "--out", str(quiet)]) == 0
    draw, kills, workers, whole = random.Random(0), 0, [], {}
    while kills < KILLS:
        while len(workers) < 2:  # two at once, of which one is killed
            workers.append(start(disturbed))
        time.sleep(draw.uniform(0.5, 9))
        victim = workers.pop(draw.randrange(2))
        ended = victim.poll() is not None
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        kills += not ended
        now = finished(disturbed)
        assert {name: now.get(name) for name in whole} == whole, "a finished run was made again"
        whole = now
        if ended:  # the study was whole: it begins anew
            for worker in workers:
                worker.wait()
            assert rows(disturbed).equals(rows(quiet))
            disturbed, workers, whole = tmp_path / f"disturbed-{kills}", [], {}
    for worker in workers:
        worker.kill()
        worker.wait()
    last = start(disturbed)
    assert last.wait() == 0
    pd.testing.assert_frame_equal(rows(disturbed), rows(quiet), check_exact=True)
    assert files(disturbed) == files(quiet)
    print(f"{kills} kills; {len(finished(disturbed))} runs, {len(rows(disturbed))} rows identical, no file left over")  # noqa: T201


@pytest.mark.slow
def test_of_a_study_with_workers_any_process_may_be_killed(tmp_path):
    """The one that was started, which is the scheduler too, a worker, or what watches over a worker."""
    quiet, disturbed = tmp_path / "quiet", tmp_path / "disturbed"
    assert main([*STUDY, "--out", str(quiet)]) == 0
    draw, kills, roles, whole, study = random.Random(1), 0, Counter(), {}, None
    while kills < KILLS:
        if study is None:
            study = start(disturbed, "--workers", "2")
        time.sleep(draw.uniform(2, 12))
        # With 1 where a task lost four workers in a row, with 2 where what starts workers has gone: it begins anew.
        if (ended := study.poll()) is not None:
            assert ended in (0, 1, 2)
            if ended == 0:
                assert rows(disturbed).equals(rows(quiet))
                disturbed, whole = tmp_path / f"disturbed-{kills}", {}
            study = None
            continue
        started = psutil.Process(study.pid)
        others = started.children(recursive=True)
        victim = draw.choice(others) if others and draw.random() < 0.7 else started
        with suppress(psutil.NoSuchProcess):
            roles[_role(victim, started)] += 1
            victim.kill()
            kills += 1
        now = finished(disturbed)
        assert {name: now.get(name) for name in whole} == whole, "a finished run was made again"
        whole = now
        if victim == started:
            study.wait()
            study = None
            _, alive = psutil.wait_procs(others, timeout=60)
            assert not alive, f"left behind: {alive}"
    if study is not None:
        assert study.wait() in (0, 1, 2)
    assert start(disturbed).wait() == 0
    pd.testing.assert_frame_equal(rows(disturbed), rows(quiet), check_exact=True)
    assert files(disturbed) == files(quiet)
    print(f"{kills} kills ({dict(roles)}); {len(rows(disturbed))} rows identical, no file left over")  # noqa: T201


def _role(process, started):
    if process == started:
        return "the study"
    words = " ".join(process.cmdline())
    return "worker" if "spawn_main" in words else "other"
