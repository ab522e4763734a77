"""YAML as people mean it in a study file: plain numbers, words, lists and mappings, of a size that a study can have.

Scalars are read by YAML 1.2's core schema, not PyYAML's 1.1, in which ``1:30`` is 90, ``017`` is 15, ``on`` is true and
2024-02-30 a date that there is not; ``1e-3`` is a number. Merging (``<<``) and aliases work, up to `MOST` values.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ..errors import first_line

MOST = 20_000  # values, those of aliases each time they are used
LETTERS = 1_000_000
DEPTH = 40
_CORE = tuple(f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map", "merge"))


class _Loader(yaml.SafeLoader):
    """YAML in which a key that is given twice is a mistake; PyYAML keeps the last."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  PyYAML's own form

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, ScalarNode) and key.tag != _CORE[-1] and key.value in keys:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
            keys.add(str(key.value))
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: ScalarNode) -> int:
        return int(self.construct_scalar(node))


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+0123456789."),
    ),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def load(text: str) -> Any:
    """What a YAML text holds: None, bool, int, float, str, lists and dicts of these.

    Raises:
        ValueError: it is no YAML, holds other things, or too many; the message says where.
    """
    if len(text) > LETTERS:
        raise ValueError(f"of a study: it has {len(text):,} letters; a study has fewer than {LETTERS:,}")
    try:
        _check_depth(text)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check(node, {})
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f"at line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{at}{getattr(error, 'problem', None) or first_line(error)}") from error
    except (RecursionError, OverflowError) as error:
        raise ValueError(f"of a study: a value in it cannot be read ({type(error).__name__})") from error


def _check_depth(text: str) -> None:
    """Before anything is built of it: PyYAML goes as deep as the brackets."""
    depth = 0
    for event in yaml.parse(text, _Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            raise ValueError(f"of a study: more than {DEPTH} levels of brackets")


def _check(node: Node, sizes: dict[int, int]) -> int:
    """How many values a node stands for. Raises ValueError: too many, one inside itself, or none of a study's kinds."""
    if id(node) in sizes:
        if not sizes[id(node)]:
            raise _refused(node, "it holds itself")
        return sizes[id(node)]
    sizes[id(node)] = 0
    if node.tag not in _CORE:
        raise _refused(node, f"{node.tag} is none of what a study holds: numbers, words, lists and mappings")
    if isinstance(node, ScalarNode) and node.value != node.value.encode(errors="ignore").decode():
        raise _refused(node, "half of a character, which no file can hold")
    size = 1
    if isinstance(node, SequenceNode):
        size += sum(_check(value, sizes) for value in node.value)
    elif isinstance(node, MappingNode):
        size += sum(_check(key, sizes) + _check(value, sizes) for key, value in node.value)
    if size > MOST:
        raise _refused(node, f"more than {MOST:,} values")
    sizes[id(node)] = size
    return size


def _refused(node: Node, why: str) -> ValueError:
    return ValueError(f"at line {node.start_mark.line + 1}, column {node.start_mark.column + 1}: {why}")
