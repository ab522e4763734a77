"""What was run: machines and versions once, however many tasks; failures by their reason; settings that were asked."""

from dataclasses import replace
from pathlib import Path

import pytest

from mixlens.analysis.store.record import StudyRecord, TaskRecord
from mixlens.reports.appendix import _environments, appendix
from mixlens.reports.content import collect


class Record(StudyRecord):
    """One that was run as told."""

    def environments(self):
        return ENVIRONMENTS


MACHINE = {"hardware": "a CPU", "device": "cpu", "platform": "Linux", "threads": 2}
VERSIONS = {"mixlens": "1", "commit": "abc", "torch": "2.9", "precision": "fp32", "compile": False}
ENVIRONMENTS = []


@pytest.mark.parametrize(
    ("environments", "rows"),
    [
        (
            [MACHINE | VERSIONS] * 12 + [MACHINE | VERSIONS | {"foolbox": "3"}] * 3,
            [
                ("machine", "a CPU, cpu, Linux, 2 threads"),
                ("versions", "mixlens 1, commit abc, torch 2.9, foolbox 3"),
                ("precision", "fp32"),
            ],
        ),
        (
            [MACHINE | VERSIONS] * 2 + [MACHINE | VERSIONS | {"torch": "2.10", "threads": 1, "compile": True}],
            [
                ("machine", "a CPU, cpu, Linux, 2 threads (2 tasks)"),
                ("machine", "a CPU, cpu, Linux, 1 thread (1 task)"),
                ("versions", "mixlens 1, commit abc, torch 2.9 (2 tasks)"),
                ("versions", "mixlens 1, commit abc, torch 2.10 (1 task)"),
                ("precision", "fp32"),
                ("compile", "false (2 tasks); true (1 task)"),
            ],
        ),
        ([{"device": "cpu", "commit": None}], [("machine", "cpu"), ("versions", "commit not known")]),
    ],
)
def test_each_machine_and_set_of_versions_once(monkeypatch, environments, rows):
    monkeypatch.setitem(globals(), "ENVIRONMENTS", environments)
    record = Record(Path(), "s", "", {}, "", Path(), ())
    assert list(_environments(record).rows) == rows


def test_tasks_machines_and_settings_follow_each_other(record):
    assert [table.name for table in appendix(record)] == ["tasks", "environments", "settings"]


def test_what_failed_for_one_reason_is_one_line(record):
    failed = [TaskRecord(f"x{n}", "k", "vae", f"train {n}", (), "skipped", "no data") for n in range(12)]
    other = TaskRecord("y", "k", "vae", "train y", (), "failed", "nan")
    content = collect(replace(record, tasks=(*record.tasks, *failed, other)))
    assert content.failures == [
        "train 0, train 1, train 2, train 3 and 8 more: skipped: no data",
        "train y: failed: nan",
    ]
