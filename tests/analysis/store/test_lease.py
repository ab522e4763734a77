import errno
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
from nfs import remembering

from mixlens.analysis.errors import InputError
from mixlens.analysis.store import lease as module
from mixlens.analysis.store.lease import STALE_SECONDS, Lease, LeaseLostError

HOLDER = """
import sys
from pathlib import Path
from mixlens.analysis.store.lease import Lease

print(Lease(Path(sys.argv[1]), "task").acquire(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another live process that holds the lease on "task"."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().strip() == "True"
    yield process
    process.kill()
    process.communicate()


def written(tmp_path, **holder):
    (tmp_path / "task.lease").write_text(json.dumps({"token": "another", "space": module._space(), **holder}))
    return tmp_path / "task.lease"


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_it_says_who_holds_it_and_goes_when_released(tmp_path):
    lease = Lease(tmp_path, "task")
    assert lease.acquire()
    content = json.loads((tmp_path / "task.lease").read_text())
    assert content["host"] == socket.gethostname()
    assert content["pid"] == os.getpid()
    lease.check()
    lease.release()
    assert not (tmp_path / "task.lease").exists()


def test_one_holder_at_a_time_and_another_task_is_free(tmp_path):
    first, second, other = Lease(tmp_path, "task"), Lease(tmp_path, "task"), Lease(tmp_path, "other")
    assert first.acquire()
    assert not second.acquire()
    assert other.acquire()
    other.release()
    second.release()
    first.check()
    first.release()
    assert second.acquire()
    second.release()


def test_a_living_process_keeps_its_lease_and_a_killed_one_loses_it_at_once(tmp_path, holder):
    lease = Lease(tmp_path, "task")
    assert not lease.acquire()
    holder.kill()
    holder.wait()
    assert lease.acquire(), "without waiting for it to grow stale"
    lease.check()
    lease.release()


def test_a_living_process_that_has_not_been_heard_of_is_taken_over(tmp_path, holder):
    path, lease = tmp_path / "task.lease", Lease(tmp_path, "task")
    recent = time.time() - STALE_SECONDS + 20
    os.utime(path, (recent, recent))
    assert not lease.acquire()
    old = time.time() - STALE_SECONDS - 5
    os.utime(path, (old, old))
    assert lease.acquire()
    assert json.loads(path.read_text())["pid"] == os.getpid()
    lease.release()


def test_a_dead_process_on_this_host_is_taken_over(tmp_path):
    written(tmp_path, host=socket.gethostname(), pid=dead_pid())
    lease = Lease(tmp_path, "task")
    assert lease.acquire()
    lease.release()


def test_a_process_on_another_host_is_judged_by_its_heartbeat_alone(tmp_path):
    path = written(tmp_path, host="elsewhere", pid=dead_pid())
    lease = Lease(tmp_path, "task")
    assert not lease.acquire()
    os.utime(path, (0, 0))
    assert lease.acquire()
    lease.release()


def test_a_container_of_the_same_host_name_is_judged_by_its_heartbeat_alone(tmp_path):
    path = written(tmp_path, host=socket.gethostname(), pid=dead_pid(), space="pid:[1]")
    lease = Lease(tmp_path, "task")
    assert not lease.acquire(), "its process ids are others"
    os.utime(path, (0, 0))
    assert lease.acquire()
    lease.release()


def test_the_minute_is_by_the_clock_of_the_file_system(tmp_path, monkeypatch):
    written(tmp_path, host="elsewhere", pid=1)
    monkeypatch.setattr(time, "time", lambda: 4e9)  # this machine's own clock is years ahead
    assert not Lease(tmp_path, "task").acquire()


def test_a_lease_from_the_future_is_of_a_clock_that_was_set_back(tmp_path):
    path = written(tmp_path, host="elsewhere", pid=1)
    os.utime(path, (4e9, 4e9))
    lease = Lease(tmp_path, "task")
    assert lease.acquire(), "a living holder would have touched it since"
    lease.release()


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(module, "LOCK_SECONDS", 0.2)
    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(InputError, match=r"\.leases\.lock cannot be locked .*--out"):
        Lease(tmp_path, "task").acquire()


@pytest.mark.parametrize("content", ["", '{"token": ', "[]", "3"])
def test_a_damaged_lease_holds_nothing(tmp_path, content):
    (tmp_path / "task.lease").write_text(content)
    lease = Lease(tmp_path, "task")
    assert lease.acquire()
    lease.release()


# UnicodeDecodeError is a ValueError but no JSONDecodeError; int("x") of a foreign pid is one too.
def test_a_lease_of_random_bytes_holds_nothing(tmp_path):
    (tmp_path / "task.lease").write_bytes(b"\xff\xfe\x80")
    lease = Lease(tmp_path, "task")
    assert lease.acquire()
    lease.release()


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


def test_the_heartbeat_touches_the_file_until_it_is_released(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.02)
    path, lease = tmp_path / "task.lease", Lease(tmp_path, "task")
    assert lease.acquire()
    for _ in range(2):
        os.utime(path, (0, 0))
        wait_until(lambda: time.time() - path.stat().st_mtime < 60)
    lease.release()
    assert not lease._thread.is_alive()


def test_a_lost_lease_is_noticed_and_left_to_its_new_holder(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.02)
    lease = Lease(tmp_path, "task")
    assert lease.acquire()
    path = written(tmp_path, host="elsewhere", pid=1)
    os.utime(path, (0, 0))
    wait_until(lambda: not lease._thread.is_alive())
    assert path.stat().st_mtime == 0, "another's lease is not kept alive"
    with pytest.raises(LeaseLostError, match="task: another worker took this task over"):
        lease.check()
    lease.release()
    assert json.loads(path.read_text())["token"] == "another"


def test_a_lease_whose_file_is_gone_is_lost(tmp_path):
    lease = Lease(tmp_path, "task")
    assert lease.acquire()
    (tmp_path / "task.lease").unlink()
    with pytest.raises(LeaseLostError):
        lease.check()
    lease.release()


def test_the_heartbeat_is_much_quicker_than_staleness():
    assert 3 * module.HEARTBEAT_SECONDS <= STALE_SECONDS


needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="no /proc")


@needs_proc
def test_a_process_id_that_belongs_to_another_process_now_holds_nothing(tmp_path):
    """The holder is gone and its number was given to this process: no minute is waited for it."""
    written(tmp_path, host=socket.gethostname(), pid=os.getpid(), born="another boot 1")
    lease = Lease(tmp_path, "task")
    assert lease.acquire()
    lease.release()


@needs_proc
def test_the_process_that_was_born_then_holds_its_lease(tmp_path):
    first = Lease(tmp_path, "task")
    assert first.acquire()
    content = json.loads((tmp_path / "task.lease").read_text())
    start = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    assert content["born"].endswith(f" {start}")
    assert not Lease(tmp_path, "task").acquire()
    first.release()


def test_a_lease_of_an_older_version_is_held_by_its_process(tmp_path):
    written(tmp_path, host=socket.gethostname(), pid=os.getpid())
    assert not Lease(tmp_path, "task").acquire()


def test_a_lease_is_seen_where_the_file_system_remembers_that_there_was_none(tmp_path, request):
    """As on NFS. Two would work on one task otherwise, until the first notices."""
    with remembering(tmp_path):
        assert not Lease(tmp_path, "task").holder()
        request.getfixturevalue("holder")  # another process takes it
        assert not (tmp_path / "task.lease").exists(), "the stand-in does what it says"
        assert not Lease(tmp_path, "task").acquire()
        assert Lease(tmp_path, "task").holder()


def test_a_lease_that_may_not_be_read_is_somebodys_until_it_is_old(tmp_path, monkeypatch):
    path = written(tmp_path, host="elsewhere", pid=1)
    monkeypatch.setattr(Path, "read_text", Mock(side_effect=PermissionError(errno.EACCES, "Permission denied")))
    assert Lease(tmp_path, "task").holder()
    assert not Lease(tmp_path, "task").acquire()
    old = path.stat().st_mtime - 2 * STALE_SECONDS
    os.utime(path, (old, old))
    assert not Lease(tmp_path, "task").holder()
