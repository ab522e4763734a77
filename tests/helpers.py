"""What tests of several sections do alike: plan a study on made-up data, run it, read its rows."""

import html
import re

import torch
from torch import nn

from mixlens.analysis.data.dataset import Dataset, Split
from mixlens.analysis.models.preact_resnet import PreActResNet18
from mixlens.analysis.store.results import read_rows
from mixlens.analysis.store.runs import Store
from mixlens.analysis.study.conduct import Prepared
from mixlens.analysis.study.executors.local import execute
from mixlens.analysis.study.plan import plan
from mixlens.analysis.study.sections import installed_sections, with_used
from mixlens.analysis.study.study import read_study
from mixlens.analysis.study.worker import Context
from mixlens.analysis.training.backend import make_backend
from mixlens.analysis.training.progress import Reporter

BACKEND = make_backend("cpu", "fp32")
NARROW = {  # settings of classifiers that learn something in seconds
    "model": "preact-resnet18(width=4)",
    "epochs": 12,
    "learning_rate": 0.05,
    "batch_size": 16,
    "precision": "fp32",
}


def tiny_study(section, **values):
    """A study of one section: the baseline and MixUp of seed 0, unless ``values`` say otherwise."""
    base = {"name": "tiny-study", "data": "made.up:data", "augmentations": ["baseline", "mixup"], "seeds": [0]}
    return read_study(None, sections_of(section), {**base, "sections": [section], **values})


def sections_of(section):
    """The section and those that it uses, by name, and none that belongs to every study."""
    installed = installed_sections()
    return {name: installed[name] for name in with_used([section], installed, every=False)}


def tasks_of(study, dataset, *, backend=BACKEND, root=None):
    """What a study's section plans: the tasks that no other task is built on."""
    tasks = plan(study, sections_of(study.sections[0]), dataset, backend, root)
    inputs = {parent.name for task in tasks for parent in task.inputs}
    return [task for task in tasks if task.name not in inputs]


def context_of(study, dataset, reporter=None, *, root=None):
    return Context(study.name, dataset, BACKEND, reporter or Reporter(quiet=True), root)


def work(folder, study, dataset, *, root=None):
    """Run a study: its section's tasks, and what became of all."""
    tasks = tasks_of(study, dataset, root=root)
    return tasks, execute(tasks, Store(folder), context_of(study, dataset, root=root))


def rows_of(tasks, outcome):
    return [row for task in tasks for row in read_rows(outcome.done[task.name])]


def checkerboards(count, seed, *, side=8, contrast=0.3):
    """Four noisy checkerboards: learnt in a moment, broken by small perturbations."""
    patterns = torch.rand(4, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(count) % 4
    noise = torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))
    clean = nn.functional.interpolate(patterns, size=side)[labels]
    return Split((contrast * clean + (1 - contrast) * noise).mul(255).byte(), labels)


def tiny_dataset(train, test):
    return Dataset("tiny", train, test, ("a", "b", "c", "d"), (0.5,) * 3, (0.25,) * 3)


def record_of(folder, study, dataset, *, root=None):
    """The record of a study that was run, with its rows, in a folder that several may share."""
    tasks = plan(study, sections_of(study.sections[0]), dataset, BACKEND, root)
    context = context_of(study, dataset, root=root)
    return Prepared(study, tasks, Store(folder / "runs"), context, folder / study.name).run("mixlens run")


def stand_in():
    """Two thousand images a split, of ten classes: bytes that count on."""
    splits = [
        Split((torch.arange(2000 * 3072) * step % 251).byte().view(-1, 3, 32, 32), torch.arange(2000) % 10)
        for step in (7, 13)
    ]
    return Dataset("cifar10", *splits, tuple("abcdefghij"), (0.5,) * 3, (0.25,) * 3)


def resnet(seed=0):
    """PreAct-ResNet18 of width 4 whose batch norms are not those of an untrained network."""
    torch.manual_seed(seed)
    network = PreActResNet18(4, width=4).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
    return network


def text_of(page):
    """What a page says, without its markup: each white space one space."""
    return " ".join(html.unescape(re.sub(r"<wbr>|</?(?:span|i|b|small)\b[^>]*>", "", page)).split())


def headings_of(page):
    """The heads of all its tables' columns."""
    return [text_of(head) for head in re.findall(r'<th scope="col"[^>]*>(.*?)</th>', page)]
