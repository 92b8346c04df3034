"""Names that a piece of code uses but does not define."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from flowyml_aws.code.syntax import FunctionNode

__all__ = ["DOCS", "IMPORTERS", "Import", "References", "references"]

IMPORTERS = frozenset({"__import__", "import_module", "run_module"})
"""Functions that import the module whose name is their first argument."""

DOCS = frozenset({"__doc__", "getdoc"})
"""Names by which code reads docstrings."""


@dataclass(frozen=True, slots=True, order=True)
class Import:
    """An import statement: `from <level dots><module> import <names>`, or `import <module>`."""

    module: str
    level: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class References:
    """The names and imports that code refers to, sorted.

    Attributes:
        chains: Names that the code does not define, with the attributes that follow them:
            `helpers.clean(x)` gives `("helpers", "clean")`.
        imports: Import statements in the code, and calls that import a module by a literal name.
        reads_docs: Whether the code reads docstrings.
    """

    chains: tuple[tuple[str, ...], ...]
    imports: tuple[Import, ...]
    reads_docs: bool = False


def references(nodes: ast.AST | Sequence[ast.AST]) -> References:
    """Return the names that nodes refer to, by Python's scoping rules.

    If the node is a function, its decorators and default expressions are left out.
    """
    visitor = _Visitor()
    top = _Scope()
    if isinstance(nodes, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        visitor.enter_function(nodes, top)
    else:
        for node in [nodes] if isinstance(nodes, ast.AST) else nodes:
            visitor.pending.append((node, top))
    visitor.run()
    free = {
        chain
        for scope in (top, *visitor.scopes)
        for chain in scope.uses
        if not scope.defines(chain[0])
    }
    return References(tuple(sorted(free)), tuple(sorted(set(visitor.imports))), visitor.reads_docs)


@dataclass(slots=True, eq=False)
class _Scope:
    """A namespace of the code.

    Attributes:
        parent: Enclosing namespace, or None at the top.
        kind: Kind of namespace: `function`, `class` or `comprehension`.
        globals: Names declared global.
        nonlocals: Names declared nonlocal.
    """

    parent: _Scope | None = None
    kind: str = "function"
    bound: set[str] = field(default_factory=set)
    globals: set[str] = field(default_factory=set)
    nonlocals: set[str] = field(default_factory=set)
    uses: set[tuple[str, ...]] = field(default_factory=set)

    def defines(self, name: str) -> bool:
        """Return whether this or an enclosing namespace defines a name that is used here."""
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.globals:
                return False
            # Functions in a class do not see the names that the class defines.
            is_visible = scope is self or scope.kind != "class"
            if is_visible and name in scope.bound and name not in scope.nonlocals:
                return True
            scope = scope.parent
        return False


class _Visitor:
    """Visits nodes with their scope, with a list of pending nodes instead of recursion."""

    def __init__(self) -> None:
        self.pending: list[tuple[ast.AST, _Scope]] = []
        self.scopes: list[_Scope] = []
        self.imports: list[Import] = []
        self.reads_docs = False

    def run(self) -> None:
        while self.pending:
            node, scope = self.pending.pop()
            self._visit(node, scope)

    def enter_function(self, node: FunctionNode, outer: _Scope) -> None:
        scope = self._scope(outer, "function")
        args = node.args
        named = [*args.posonlyargs, *args.args, *args.kwonlyargs]
        named += [arg for arg in (args.vararg, args.kwarg) if arg is not None]
        scope.bound.update(arg.arg for arg in named)
        self._annotations((arg.annotation for arg in named), outer)
        if isinstance(node, ast.Lambda):
            self.pending.append((node.body, scope))
            return
        self._type_parameters(node, scope)
        self._annotations([node.returns], outer)
        self.pending += [(statement, scope) for statement in node.body]

    def _visit(self, node: ast.AST, scope: _Scope) -> None:
        match node:
            case ast.Attribute() | ast.Name():
                self._visit_name(node, scope)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                if not isinstance(node, ast.Lambda):
                    scope.bound.add(node.name)
                    self._defer(node.decorator_list, scope)
                self._defer([*node.args.defaults, *node.args.kw_defaults], scope)
                self.enter_function(node, scope)
            case ast.ClassDef():
                scope.bound.add(node.name)
                self._defer([*node.decorator_list, *node.bases, *node.keywords], scope)
                inner = self._scope(scope, "class")
                self._type_parameters(node, inner)
                self._defer(node.body, inner)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                self._visit_comprehension(node, scope)
            case ast.NamedExpr(target=target, value=value):
                owner = scope
                while owner.kind == "comprehension" and owner.parent is not None:
                    owner = owner.parent
                owner.bound.add(target.id)
                self._defer([value], scope)
            case ast.AnnAssign(target=target, annotation=annotation, value=value):
                self._annotations([annotation], scope)
                self._defer([target, value], scope)
            case ast.Global(names=names):
                scope.globals.update(names)
                scope.uses.update((name,) for name in names)
            case ast.Nonlocal(names=names):
                scope.nonlocals.update(names)
                scope.uses.update((name,) for name in names)
            case ast.Import() | ast.ImportFrom():
                self._visit_import(node, scope)
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in IMPORTERS:
                self.imports += _imported_by(node)
                self._defer(ast.iter_child_nodes(node), scope)
            case _:
                for name in _names_in_strings(node):
                    scope.bound.add(name)
                self._defer(ast.iter_child_nodes(node), scope)

    def _visit_name(self, node: ast.Attribute | ast.Name, scope: _Scope) -> None:
        attributes: list[str] = []
        root: ast.expr = node
        while isinstance(root, ast.Attribute):
            attributes.append(root.attr)
            root = root.value
        self.reads_docs = self.reads_docs or not DOCS.isdisjoint(attributes)
        if not isinstance(root, ast.Name):
            self._defer([root], scope)
        elif isinstance(root.ctx, ast.Load):
            scope.uses.add((root.id, *reversed(attributes)))
            self.reads_docs = self.reads_docs or root.id in DOCS
        else:
            scope.bound.add(root.id)

    def _visit_comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp, scope: _Scope
    ) -> None:
        inner = self._scope(scope, "comprehension")
        for position, part in enumerate(node.generators):
            self._defer([part.iter], scope if position == 0 else inner)
            self._defer([part.target, *part.ifs], inner)
        results = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self._defer(results, inner)

    def _visit_import(self, node: ast.Import | ast.ImportFrom, scope: _Scope) -> None:
        for alias in node.names:
            scope.bound.add(alias.asname or alias.name.partition(".")[0])
        if isinstance(node, ast.Import):
            self.imports += [Import(alias.name) for alias in node.names]
        else:
            names = tuple(sorted(alias.name for alias in node.names))
            self.imports.append(Import(node.module or "", node.level, names))

    def _type_parameters(self, node: ast.AST, scope: _Scope) -> None:
        for parameter in getattr(node, "type_params", ()):
            scope.bound.add(parameter.name)
            self._defer(ast.iter_child_nodes(parameter), scope)

    def _annotations(self, nodes: Iterable[ast.expr | None], scope: _Scope) -> None:
        for node in nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                try:
                    node = ast.parse(node.value, mode="eval").body
                except SyntaxError:
                    continue  # a string that is not a type annotation
            self._defer([node], scope)

    def _defer(self, nodes: Iterable[ast.AST | None], scope: _Scope) -> None:
        self.pending += [(node, scope) for node in nodes if node is not None]

    def _scope(self, parent: _Scope, kind: str) -> _Scope:
        scope = _Scope(parent, kind)
        self.scopes.append(scope)
        return scope


def _imported_by(call: ast.Call) -> Iterator[Import]:
    """Yield the module that a call of `importlib.import_module`, or similar, imports."""
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    match arguments:
        case [ast.Constant(value=str(name)), ast.Constant(value=str(package)), *_]:
            name = f"{package}{name}" if name.startswith(".") and name[1:2] != "." else name
        case [ast.Constant(value=str(name)), *_]:
            pass
        case _:
            return  # the name is computed
    module = name.lstrip(".")
    yield Import(module, len(name) - len(module))


def _names_in_strings(node: ast.AST) -> Iterator[str]:
    """Yield the names that a node binds and stores as strings instead of as nodes."""
    match node:
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
            yield name
        case ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
            yield name
