"""A data set by name: a file of ``sources``, or the user's own factory."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

from ..errors import InputError, unknown
from ..spec import Spec, call, load_object, read_spec, without_defaults
from . import sources
from .dataset import Dataset, Head, Split
from .files import DataFile
from .modalities.sound import with_recordings
from .of_texts import from_lists
from .shape import Shape

KIND = "data set"
_KEYS = ("train_images", "train_labels", "test_images", "test_labels", "classes", "mean", "std")
_OPTIONAL = ("recipe",)
_TEXTS = ("train_texts", "train_labels", "test_texts", "test_labels", "classes")  # of texts, in their stead
_OF_TEXTS = ("words", "length", "vectors", "tokenizer")  # and these may be there
_SOUND = ("train_sounds", "train_labels", "test_sounds", "test_labels", "classes", "rate")  # of recordings
_OF_SOUND = ("mean", "std")


class Source(Protocol):
    """What a module of ``sources`` holds. Whatever is called as the module is known by that name everywhere."""

    ABOUT: str  # one line: what it is, and how large
    MEGABYTES: float  # to download
    SHAPE: Shape | None  # what it holds, so that a study of it can be planned before; None where that is not needed

    def status(self, root: str | Path | None = None) -> list[DataFile]: ...

    def fetch(self, root: str | Path | None = None) -> None:
        """Download and check what is missing. Raises InputError."""
        ...

    # Of one that a program may not fetch: ASK, the page where its people are asked; LAYOUT, how it must lie below the
    # data's folder; missing(root), in words what of that is not so.

    # (root, *, …): the `Dataset`, or what a section knows how to read; what a spec may give are the keyword-only
    # parameters. Raises InputError.
    load: Callable[..., Any]


def source_names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(sources.__path__))


def find_source(name: str) -> Source:
    """The source of that name. Raises InputError for another, with the nearest spelling."""
    if name not in source_names():
        raise unknown(KIND, name, source_names())
    return cast(Source, import_module(f"{sources.__name__}.{name}"))


class NotThere(NamedTuple):
    """A data set that is still to be fetched: one of its shape in its stead, and the download."""

    stand_in: Dataset
    megabytes: float


def not_there(text: str, root: str | Path | None = None) -> NotThere | None:
    """What can be known of a source whose files are missing; None of any other, and where files are damaged.

    Raises:
        InputError: unknown name.
    """
    spec = read_spec(text, KIND)
    if spec.is_own:
        return None
    source = find_source(spec.use)
    spec = _as_known(spec, source)
    if source.SHAPE is None:
        return None
    files = source.status(root)
    if all(file.present for file in files) or any(file.present != file.ok for file in files):
        return None
    return NotThere(source.SHAPE.stand_in(spec.text), source.MEGABYTES)


def _as_known(spec: Spec, source: Source) -> Spec:
    """The spec without arguments that are the source's defaults. Raises InputError for those that it does not take."""
    parameters = inspect.signature(source.load).parameters.values()
    taken = {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}
    if spec.arguments and not taken:
        raise InputError(f"{KIND} {spec.text!r}: {spec.use} takes no arguments.")
    for name, default in taken.items():
        if default is inspect.Parameter.empty and name not in spec.arguments:
            raise InputError(f"{KIND} {spec.text!r}: {spec.use} needs {name}=…; write {spec.use}({name}=…).")
    return Spec(spec.use, without_defaults(spec.arguments, taken, f"{KIND} {spec.text!r}"))


def load_dataset(text: str, root: str | Path | None = None) -> Dataset:
    """A source, or the user's own ``package.module:factory``; either may take arguments, as ``name(key=value)``.

    A source's data set is named by its spec, without arguments that are defaults. The factory returns a `Dataset` or a
    dict with the keys train_images, train_labels, test_images, test_labels (arrays), classes, mean and std, and maybe
    recipe; a dict's data set is named by its spec. Several heads are classes by their names, {"root": [...], ...}, and
    labels (N, heads). Of texts it has train_texts and test_texts, as strings or as lists of numbers of words
    (`of_texts.from_lists`), and no mean and std; maybe words, length, vectors and tokenizer. Of
    recordings it has train_sounds and test_sounds, (N, samples) int16 or floats in [−1, 1], and their rate; mean and
    std may then lack. ``root`` is the sources' folder.

    Raises:
        InputError: unknown name, arguments that it does not take, or a factory that cannot be imported, fails, or
            returns something else.
    """
    spec = read_spec(text, KIND)
    if not spec.is_own:
        try:
            source = find_source(spec.use)
        except InputError as error:
            raise InputError(f"{error} For your own, give package.module:factory.") from error
        spec = _as_known(spec, source)
        returned = source.load(root, **spec.arguments)
        if not isinstance(returned, Dataset):
            raise InputError(f"{spec.use} is no data set to train on: {source.ABOUT}.")
        return replace(returned, name=spec.text)
    returned = call(load_object(spec.use, KIND), spec.arguments, f"{KIND} {spec.text!r}")
    if isinstance(returned, Mapping):
        returned = _from_mapping(spec.text, returned)
    if isinstance(returned, Dataset):
        _check_apart(spec.text, returned)
        return returned
    raise InputError(
        f"{KIND} {spec.text!r}: the factory returned {type(returned).__name__}; expected a Dataset or a dict with the "
        f"keys {', '.join(_KEYS)}."
    )


_ALIKE = "Texts are compared as a network sees them, all unknown words alike and without what length= cuts off. "


def _check_apart(name: str, dataset: Dataset) -> None:
    """Raises InputError where training images stand in the test split."""
    shared = dataset.shared()
    if shared.any():
        raise InputError(
            f"{KIND} {name!r}: {int(shared.sum())} of {len(shared)} training {dataset.modality.MANY} stand in the test "
            f"split too, the first at index {int(shared.nonzero()[0])}: what is measured on them was learnt by heart. "
            f"{_ALIKE if dataset.vocabulary else ''}Leave them out of it, or return Dataset(…).apart(), of "
            "mixlens.analysis.data.dataset."
        )


def _from_mapping(name: str, returned: Mapping[str, Any]) -> Dataset:
    of_sounds, of_texts = (
        any(f"{one}_{kind}" in returned for one in ("train", "test")) for kind in ("sounds", "texts")
    )
    keys, more = (_SOUND, _OF_SOUND) if of_sounds else (_TEXTS, _OF_TEXTS) if of_texts else (_KEYS, ())
    more = (*more, *_OPTIONAL)
    for key in returned:
        if key == "human":
            raise InputError(
                f"{KIND} {name!r}: 'human': votes are the calibration section's; give a function that returns them, as "
                "--calibration.counts package.module:factory."
            )
        if key not in (*keys, *more):
            raise unknown(f"key in the dict returned by {KIND} {name!r}:", key, (*keys, *more))
    missing = [key for key in keys if key not in returned]
    if missing:
        raise InputError(f"{KIND} {name!r}: the dict that the factory returned lacks {', '.join(missing)}.")
    if of_sounds:
        try:
            returned = with_recordings(returned)
        except InputError as error:
            raise InputError(f"{KIND} {name!r}: {error}") from error
    samples, known = from_lists(name, returned) if of_texts else (_images(returned), None)
    try:
        named = returned["classes"]
        several = isinstance(named, Mapping)
        heads = tuple(Head(str(head), tuple(map(str, names))) for head, names in named.items()) if several else ()
        classes = () if several else tuple(str(name) for name in named)
        mean, std = (tuple(float(value) for value in returned.get(key, ())) for key in ("mean", "std"))
        train, test = (
            Split.of(each, returned[f"{one}_labels"]) for one, each in zip(("train", "test"), samples, strict=True)
        )
    except (TypeError, ValueError) as error:
        expected = (
            "Expected lists of texts and labels, and classes as a list of names."
            if of_texts
            else "Expected arrays of images and labels, classes as a list of names, mean and std as lists of numbers."
        )
        raise InputError(f"{KIND} {name!r}: {error}. {expected}") from error
    return Dataset(name, train, test, classes, mean, std, str(returned.get("recipe", "")), heads, vocabulary=known)


def _images(returned: Mapping[str, Any]) -> tuple[Any, Any]:
    return returned["train_images"], returned["test_images"]
