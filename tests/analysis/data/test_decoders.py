"""Processes that decode: the same pixels from any number of them, and none that stays."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import picture, save

from mixlens.analysis.data import decoders as module
from mixlens.analysis.data.decoders import Decoders, Pieces, Wanted, decoded, decoders, use
from mixlens.analysis.errors import InputError

COUNT = 70


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    return [str(save(folder / f"{number}.png", number, width=8, height=6)) for number in range(COUNT)]


@pytest.fixture
def several():
    """Three processes from here on."""
    use(3)
    yield
    use(None)
    decoders()


def parts(paths, size=16):
    starts = range(0, len(paths), size)
    return [Wanted(paths[start : start + size], 8, 6, "whole") for start in starts]


def alive(parent):
    """The processes that decode for another, by their ids."""
    listed = subprocess.run(
        ["ps", "-ww", "--ppid", str(parent), "-o", "pid=,args="], capture_output=True, text=True
    ).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if "decoder.py" in line]


def gone(ids, seconds=10):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not any(Path(f"/proc/{one}").exists() for one in ids):
            return True
        time.sleep(0.05)
    return False


def test_pixels_come_in_order_whoever_decodes_them(paths, several):
    batches = list(decoded(parts(paths)))
    assert [len(batch) for batch in batches] == [16] * 4 + [6]
    assert all(batch.is_contiguous(memory_format=torch.channels_last) for batch in batches)
    expected = np.stack([picture(number, 8, 6) for number in range(COUNT)])
    assert np.array_equal(torch.cat(batches).permute(0, 2, 3, 1).numpy(), expected)
    assert 1 <= len(alive(os.getpid())) <= 3


def test_a_file_that_cannot_be_read_is_named_and_the_rest_can_be(paths, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(Path(paths[0]).read_bytes()[:-40])
    with pytest.raises(InputError, match=r"bad\.png cannot be read: .*mend it"):
        list(decoded([Wanted([paths[0], str(bad), paths[1]], 8, 6, "whole")]))
    assert sum(map(len, decoded(parts(paths)))) == COUNT, "the pipes hold nothing of it"


def test_who_breaks_off_leaves_nothing_behind(paths):
    some = decoded(parts(paths, 4))
    next(some)
    some.close()
    assert sum(map(len, decoded(parts(paths)))) == COUNT


def test_a_process_that_ends_is_said_and_another_takes_its_place(paths):
    pool = Decoders(1)
    pixels = torch.zeros(4, 6, 8, 3, dtype=torch.uint8)
    pieces = pool.decode(Wanted(paths[:4], 8, 6, "whole"), pixels)
    while pieces.left:
        pieces.next()
    pool._processes[0].kill()
    with pytest.raises(InputError, match=r"ended \(status -9\).*--decoders"):
        pool.decode(Wanted(paths[:4], 8, 6, "whole"), pixels).next()
    pool.examine(paths[:1], asked := Pieces(), "first")
    tag, (facts,) = asked.next()
    assert (tag, facts["width"]) == ("first", 8)
    pool.close()
    assert all(process.returncode is not None for process in pool._processes)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interruption_at_any_moment_leaves_them_as_they_were(paths):
    """Ctrl-C in a lock of Python's own may leave it held for good, or broken."""

    def interrupted(number, frame):
        raise KeyboardInterrupt

    draw, before = random.Random(0), signal.signal(signal.SIGALRM, interrupted)
    try:
        for _ in range(400):
            signal.setitimer(signal.ITIMER_REAL, draw.uniform(5e-4, 1e-2), 0.5)  # one in a finaliser is not raised
            with pytest.raises(KeyboardInterrupt):
                for _ in decoded([Wanted(paths[:8], 8, 6, "whole")] * 10**6):
                    pass
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert sum(map(len, decoded(parts(paths)))) == COUNT


def test_the_count_is_the_machines_unless_it_is_given(monkeypatch):
    monkeypatch.setattr(module, "_cores", lambda: 8)
    assert decoders().count == 7
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert decoders().count == 1
    use(5)
    assert decoders().count == 5
    use(None)
    monkeypatch.undo()
    assert decoders() is decoders()


def started(program, paths):
    return subprocess.Popen(
        [sys.executable, str(program), *paths],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,
    )


PROGRAM = """
import signal, sys
from mixlens.analysis.data.decoders import Wanted, decoded, use
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background processes ignore it
    use(2)
    batches = decoded([Wanted(sys.argv[1:], 8, 6, "whole")] * 100000)
    print(len(next(batches)), flush=True)
    for batch in batches:
        pass
"""


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGKILL])
def test_no_process_outlives_the_one_that_it_decodes_for(paths, tmp_path, number):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    ran = started(program, paths)
    assert ran.stdout.readline() == f"{COUNT}\n"
    children = alive(ran.pid)
    assert children
    os.killpg(ran.pid, number) if number == signal.SIGINT else ran.send_signal(number)  # Ctrl-C goes to all of them
    try:
        _, told = ran.communicate(timeout=20)
    finally:
        ran.kill()
    assert ran.returncode in (-number, 128 + number)
    assert gone(children)
    assert "decoder.py" not in told, "they say nothing"


DAEMON = """
import multiprocessing, sys
from mixlens.analysis.data.decoders import Wanted, decoded

def count(paths):
    assert multiprocessing.current_process().daemon
    print(sum(map(len, decoded([Wanted(paths, 8, 6, "whole")]))), flush=True)

if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=count, args=(sys.argv[1:],), daemon=True)
    process.start()
    process.join(60)
    sys.exit(process.exitcode)
"""


def test_a_daemon_has_them_too(paths, tmp_path):
    """A worker of Dask is one, and may have no children of multiprocessing's."""
    (tmp_path / "daemon.py").write_text(DAEMON)
    ran = started(tmp_path / "daemon.py", paths)
    assert ran.communicate(timeout=90) == (f"{COUNT}\n", "")
    assert ran.returncode == 0


def test_each_is_small_and_loads_no_torch():
    code = (
        f"import re, runpy, sys; runpy.run_path({str(module.PROGRAM)!r});"
        "print([name for name in ('torch', 'numpy', 'mixlens') if name in sys.modules],"
        "re.search(r'VmRSS:\\s*(\\d+)', open('/proc/self/status').read())[1])"
    )
    shown = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout
    names, kilobytes = shown.rsplit(maxsplit=1)
    assert names == "[]"
    assert int(kilobytes) < 60_000
