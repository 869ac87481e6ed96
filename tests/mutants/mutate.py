"""Mutants of a source file: mutmut's operators, and two that it lacks.

mutmut itself is not run: it leaves out decorated functions, constants of modules and whole
statements (the wait that is forgotten), and has no seeded sample. What is left out here is what no
test should care about: annotations, decorators, imports, words for people, and what is logged.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import libcst as cst
from libcst.metadata import MetadataWrapper, ParentNodeProvider, PositionProvider
from mutmut.mutation.mutators import mutation_operators

__all__ = ["Mutant", "mutants_of"]

LOGGING = {"debug", "info", "warning", "error", "exception", "limited", "note_fault", "getLogger"}
NAMED = {"TypeVar", "ParamSpec", "NewType"}
"""calls whose first argument only names what they give"""
CONSTANTS = {"__all__", "__slots__"}
Operator = Callable[[Any], Iterable[cst.CSTNode]]


@dataclass(frozen=True, eq=False)
class Mutant:
    """One change of a file. `lines` are those that it changes, counted from 1."""

    path: str
    number: int
    """among those of the file"""
    operator: str
    lines: range
    module: cst.Module
    node: cst.CSTNode
    changed: cst.CSTNode

    @property
    def name(self) -> str:
        """A word for it, that stays as long as the file does."""
        return f"{self.path}#{self.number}"

    def source(self) -> str:
        """The whole changed file. This takes a part of a second."""
        replaced = self.module.deep_replace(self.node, self.changed)
        assert isinstance(replaced, cst.Module)
        return replaced.code

    def diff(self) -> str:
        """What it changes."""
        before, after = self.module.code.splitlines(), self.source().splitlines()
        changed = difflib.unified_diff(before, after, self.path, self.name, n=1, lineterm="")
        return "\n".join(changed)


def drop_statement(node: cst.SimpleStatementLine) -> Iterable[cst.CSTNode]:
    """A call, a wait, an assignment to an attribute or item, or a raise is left out."""
    (first, *more) = node.body
    dropped = isinstance(first, cst.Raise | cst.Del | cst.AugAssign)
    if isinstance(first, cst.Expr):
        dropped = isinstance(first.value, cst.Call | cst.Await)
    elif isinstance(first, cst.Assign):
        target = first.targets[0].target
        dropped = isinstance(target, cst.Attribute | cst.Subscript)
    if dropped and not more:
        yield node.with_changes(body=[cst.Pass()])


def negate_condition(node: cst.If | cst.While) -> Iterable[cst.CSTNode]:
    """A condition means its opposite."""
    test = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    yield node.with_changes(test=cst.UnaryOperation(operator=cst.Not(), expression=test))


OPERATORS: Sequence[tuple[Any, Operator]] = (
    *mutation_operators,
    (cst.SimpleStatementLine, drop_statement),
    (cst.If, negate_condition),
    (cst.While, negate_condition),
)


def mutants_of(path: str, source: str) -> list[Mutant]:
    """Every mutant of the file `path`, in the order of the code."""
    wrapper = MetadataWrapper(cst.parse_module(source))
    finder = _Finder()
    wrapper.visit(finder)
    lines = wrapper.resolve(PositionProvider)
    parents = wrapper.resolve(ParentNodeProvider)
    found: list[Mutant] = []
    for node, changed, operator in finder.changes():
        # Of an `if` only the condition changes. What stands in a later line of a statement is known
        # to coverage by the statement's first.
        end = lines[node.test if isinstance(node, cst.If | cst.While) else node].end.line
        statement = node
        while not isinstance(statement, cst.BaseStatement | cst.SimpleStatementLine):
            statement = parents[statement]
        start = lines[statement].start.line
        if not isinstance(statement, cst.SimpleStatementLine):  # a block's head, not its body
            start = lines[node].start.line
        found.append(
            Mutant(path, len(found), operator, range(start, end + 1), wrapper.module, node, changed)
        )
    return found


class _Finder(cst.CSTVisitor):
    """Collects the nodes that may change."""

    METADATA_DEPENDENCIES = (ParentNodeProvider,)

    def __init__(self) -> None:
        super().__init__()
        self._nodes: list[cst.CSTNode] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        """libcst: whether to go into `node`."""
        if self._left_out(node):
            return False
        self._nodes.append(node)
        return True

    def changes(self) -> Iterator[tuple[cst.CSTNode, cst.CSTNode, str]]:
        """(node, what takes its place, operator)."""
        for node in self._nodes:
            for kind, operator in OPERATORS:
                if isinstance(node, kind):
                    for changed in operator(node):
                        yield node, changed, operator.__name__

    def _left_out(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.Annotation | cst.Decorator | cst.Import | cst.ImportFrom):
            return True
        if isinstance(node, cst.SimpleString):
            return " " in node.value or self._is_docstring(node)
        if isinstance(node, cst.FormattedString):
            return True
        if isinstance(node, cst.Call):
            return _called(node) in LOGGING | NAMED
        if isinstance(node, cst.SimpleStatementLine):
            first = node.body[0]
            if isinstance(first, cst.Expr) and isinstance(first.value, cst.Call):
                return _called(first.value) in LOGGING
            if isinstance(first, cst.Assign):
                target = first.targets[0].target
                return isinstance(target, cst.Name) and target.value in CONSTANTS
        return False

    def _is_docstring(self, node: cst.CSTNode) -> bool:
        return isinstance(self.get_metadata(ParentNodeProvider, node), cst.Expr)


def _called(call: cst.Call) -> str:
    function = call.func
    if isinstance(function, cst.Attribute):
        return function.attr.value
    return function.value if isinstance(function, cst.Name) else ""
