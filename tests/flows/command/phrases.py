"""What the sources say to people in English: every phrase, as the template of a message.

Read from the syntax of the sources, nothing is imported. A phrase is a text of two words or more,
or the message of an error. Interpolated parts are `{}`; module constants stand where they are used;
of a conditional, both arms are taken; what only continues a sentence ("; there are: {}"), in a
conditional, a variable or the answer of a function of ours, is taken together with what it
continues.

No phrases are: docstrings; what describes options and fields of APIs (`--help` has Chinese of its
own); SQL, regular expressions, shell commands and other languages; what is logged by servers and
said to Prefect. Rooms in `APART` say everything in both languages or only to machines and standard
output: of them only messages of errors count.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parents[3]
HOLE = "\0"
"""A part that is interpolated, until a template is written down."""
MOST_VARIANTS = 12
MOST_NAMES = 40
"""Longer texts without any sign are lists of names."""

APART = (
    "deployments/production/deployed.py",
    "deployments/studio/api/",
    "deployments/studio/assistant.py",
    "deployments/studio/guard.py",
    "deployments/studio/metrics.py",
    "deployments/studio/routes.py",
    "deployments/studio/wording.py",
    "flows/command/backup.py",
    "flows/command/chinese.py",
    "flows/command/demo.py",
    "flows/command/measured.py",
    "flows/command/search.py",
    "flows/command/tune.py",
    "flows/orchestration/artifacts.py",
    "flows/orchestration/handover.py",
    "flows/orchestration/states.py",
    "tasks/demo/",
    "tasks/encode/model/chinese_clip/family.py",
    "tasks/evaluate/origin.py",
    "tasks/evaluate/proposal.py",
    "tasks/index/status.py",
    "tasks/inspect/",
    "tasks/meanings.py",
    "tasks/prefect_tasks.py",
    "tasks/report/",
    "tasks/settings.py",
    "tasks/signatures.py",
    "tasks/store/zvec/leftovers.py",
    "tasks/telemetry/lines.py",
    "tasks/telemetry/logged.py",
    "tasks/telemetry/metrics.py",
    "tasks/telemetry/traces.py",
)
"""Rooms that say everything in both languages, or only to machines and standard output: of them
what errors say counts, and what is printed to standard error."""
_LINES = {"outside", "account_lines", "copied", "not_looked_at"}
"""Functions of such rooms whose answers are printed to standard error."""
NAMES = {
    "Chinese-CLIP of cn_clip", "Chinese-CLIP of transformers", "DashVector Credentials",
    "Failed to reach API at", "Prefect Variable", "Prefect Variable {}", "SigLIP 2",
    "SigLIP, bilinear", "Sentence Transformers", "Value error,", "hello 2023", "k1 {}, b {}",
    "import SOURCE", "index {}", "query 0 document grade", "query Q0 document rank score tag",
    "{} Q0 {} {} {} {}", "{} is not null", "from flows.command.app import main; main()",
    "hash {} version nfkc-casefold-dashtext-2, its file says {}", "missing {}", "version {}",
    "version of", "filter {}...", "--deadline {}", "--max-images {}", "--group-by {}",
    "--fields {}", "auto_map of {}", "muge: {}", "{} with {}",
}  # fmt: skip
"""Names, commands and forms, which are the same in both languages."""
_DESCRIPTIONS = {"help", "description", "title", "flow_run_name", "name", "form", "prefix"}
"""Keywords whose text describes something."""
_ELSEWHERE = {
    "execute", "executemany", "executescript", "_count", "compile", "basicConfig", "holding",
    "Described", "Field", "Role", "Query", "_task", "create_markdown_artifact", "Change",
    "split",
}  # fmt: skip
"""Calls whose texts are not said to anybody who uses the command."""
_SAYING = {
    "answer",
    "Failure",
    "damaged",
    "fail",
    "note",
    "refusal",
    "tell",
    "told",
    "warning",
    "info",
}
"""Calls beside errors whose texts are."""
_WITHOUT_TEXTS = {"annotation", "ctx", "func", "op", "ops", "returns"}
"""Fields of syntax."""
_LOGGERS = {"LOG"}
"""Of servers, in English."""
_SQL = re.compile(r"\s*(SELECT|INSERT|DELETE|CREATE|PRAGMA|UPDATE|ATTACH)\b")
_WORDS = re.compile(
    r"[^\W\d_][\w'-]*[,;:)\]`'\"]* [(\[`'\"]*[\w\0-]|[a-z]{2,}[:;,]? \0|\0 [a-z]{2,}"
)
_CHINESE = re.compile("[\u4e00-\u9fff]")
_CODE = re.compile(r"(muge|prefect|pip|ray) [a-z].*|[^ ]+", re.DOTALL)
_FORMATS = re.compile(r"%(?:\.\d+)?[sdrfg]|\{[a-z_]\w*(?::[^}]*)?\}")
"""Of logging, and of `str.format`."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """A template and where it is written."""

    template: str
    file: str
    line: int


def phrases() -> list[Phrase]:
    """All of the tree."""
    return [found for module in modules().values() for found in _Walk(module).found]


@cache
def modules() -> dict[str, Module]:
    """By dotted name."""
    files = [
        path
        for room in ("tasks", "flows", "deployments")
        for path in sorted((ROOT / room).rglob("*.py"))
        if "recipe" not in path.parts  # makes the sample, is no part of the command
    ]
    files.append(ROOT / "muge_search.py")
    found = {}
    for path in files:
        file = path.relative_to(ROOT).as_posix()
        name = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        found[name] = Module(file, ast.parse(path.read_text("utf-8")))
    return found


@dataclass
class Module:
    """A file of the tree, and what its names mean."""

    file: str
    tree: ast.Module
    _assigned: dict[ast.FunctionDef, dict[str, list[ast.Assign | ast.AugAssign]]] = field(
        default_factory=dict
    )

    @cached_property
    def _nodes(self) -> list[ast.AST]:
        return list(ast.walk(self.tree))

    @cached_property
    def values(self) -> dict[str, ast.expr]:
        """Module constants."""
        found: dict[str, ast.expr] = {}
        for node in self.tree.body:
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    found.update(_pairs(target, node.value))
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                found.update(_pairs(node.target, node.value))
        return found

    @cached_property
    def functions(self) -> dict[str, ast.FunctionDef]:
        """Functions and methods by name."""
        return {n.name: n for n in self._nodes if isinstance(n, ast.FunctionDef)}

    def assigned(self, function: ast.FunctionDef) -> dict[str, list[ast.Assign | ast.AugAssign]]:
        """What is assigned to each name in a function."""
        if function not in self._assigned:
            found: dict[str, list[ast.Assign | ast.AugAssign]] = {}
            for node in ast.walk(function):
                if isinstance(node, ast.Assign | ast.AugAssign):
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    for target in targets:
                        if isinstance(target, ast.Name):
                            found.setdefault(target.id, []).append(node)
            self._assigned[function] = found
        return self._assigned[function]

    @cached_property
    def imports(self) -> dict[str, tuple[str, str]]:
        """(module, name) by the name that it has here."""
        return {
            alias.asname or alias.name: (node.module or "", alias.name)
            for node in self._nodes
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, other in zip(target.elts, value.elts, strict=False):
            yield from _pairs(one, other)


@dataclass
class _Walk:
    module: Module
    found: list[Phrase] = field(default_factory=list)
    _within: list[ast.FunctionDef] = field(default_factory=list)
    _joined: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._visit(self.module.tree, error=False)

    @property
    def _apart(self) -> bool:
        return self.module.file.startswith(APART)

    def _visit(self, node: ast.AST, error: bool) -> None:
        """`error`: whether this is the message of an error."""
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return  # a docstring
        if isinstance(node, ast.keyword) and node.arg in _DESCRIPTIONS:
            return
        if isinstance(node, ast.expr) and _is_text(node):
            self._text(node, error)
            return
        if isinstance(node, ast.Compare):
            return  # of a library's texts
        if isinstance(node, ast.Call):
            name = _name(node.func)
            owner = node.func.value if isinstance(node.func, ast.Attribute) else None
            aside = any(keyword.arg == "file" for keyword in node.keywords)
            if name in _ELSEWHERE or (name == "print" and not aside) or _name(owner) in _LOGGERS:
                return
            said = (
                name in _SAYING or name == "print" or re.match(r"_?[A-Z]\w*(Error|Problem)$", name)
            )
            error = error or bool(said)
        if isinstance(node, ast.FunctionDef) and node.name in _LINES:
            error = True
        if isinstance(node, ast.FunctionDef):
            self._within.append(node)
        for name in node._fields:
            value = None if name in _WITHOUT_TEXTS else getattr(node, name, None)
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    self._visit(child, error)
        if isinstance(node, ast.FunctionDef):
            self._within.pop()

    def _text(self, node: ast.expr, error: bool) -> None:
        if error or not self._apart:
            for text in self._variants(node, 0) or []:
                if _counts(text, error):
                    said = Phrase(written(text), self.module.file, node.lineno)
                    if said not in self.found and said.template not in NAMES:
                        self.found.append(said)
        for inner in _parts(node):
            self._visit(inner, error=False)

    def _variants(self, node: ast.expr, depth: int) -> list[str] | None:
        """What an expression can say; None: nobody knows."""
        match node:
            case ast.Constant(value=str(said)):
                return [said]
            case ast.JoinedStr(values=values):
                return _product([self._inside(value, depth) for value in values])
            case ast.BinOp(op=ast.Add(), left=left, right=right):
                sides = [self._variants(side, depth) or [HOLE] for side in (left, right)]
                return None if sides == [[HOLE], [HOLE]] else _product(sides)
            case ast.IfExp(body=body, orelse=orelse):
                arms = [self._variants(arm, depth) for arm in (body, orelse)]
                return None if arms == [None, None] else [v for a in arms for v in a or [HOLE]]
            case ast.Name(id=name):
                return self._named(name, depth)
            case ast.Call(func=ast.Attribute(attr="format", value=value)):
                formats = self._variants(value, depth)
                return formats and [re.sub(r"\{\w*(?::[^}]*)?\}", HOLE, f) for f in formats]
            case ast.Call(func=ast.Name(id=name)) if depth < 3:
                return self._answered(name, depth)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=name)) if depth < 3:
                return self._answered(name, depth)
        return None

    def _inside(self, value: ast.expr, depth: int) -> list[str]:
        """A piece of a text: what may only continue a sentence is taken with it."""
        if isinstance(value, ast.Constant):
            return [str(value.value)]
        assert isinstance(value, ast.FormattedValue)
        if value.conversion != -1 or value.format_spec is not None:
            return [HOLE]
        said = self._variants(value.value, depth + 1)
        constant = isinstance(value.value, ast.Name) and value.value.id.isupper()
        if said is None or not (constant or any(_continues(each) for each in said)):
            return [HOLE]
        return list(dict.fromkeys(said))

    def _named(self, name: str, depth: int) -> list[str] | None:
        if depth > 6:
            return None
        if self._within and not name.isupper():
            return self._local(name, depth)
        if name in self.module.values:
            return self._variants(self.module.values[name], depth + 1)
        source, original = self.module.imports.get(name, ("", ""))
        if source in modules() and original in modules()[source].values:
            other = modules()[source]
            return _Named(other)._variants(other.values[original], depth + 1)
        return None

    def _local(self, name: str, depth: int) -> list[str] | None:
        said: list[str] = []
        unknown = False
        for node in self.module.assigned(self._within[-1]).get(name, ()):
            found = self._variants(node.value, depth + 1)
            if isinstance(node, ast.AugAssign):
                said += [a + b for a in said or [HOLE] for b in found or [HOLE]]
            else:
                said += found or []
                unknown = unknown or found is None
        return ([HOLE] * unknown + said) if said else None

    def _answered(self, name: str, depth: int) -> list[str] | None:
        """What a function of ours can answer."""
        module = self.module
        if name not in module.functions and name in module.imports:
            source, name = module.imports[name]
            module = modules().get(source, module)
        function = module.functions.get(name)
        if function is None:
            return None
        other = _Named(module)
        other._within = [function]
        answers = [n.value for n in ast.walk(function) if isinstance(n, ast.Return) and n.value]
        said = [other._variants(answer, depth + 1) for answer in answers]
        if all(each is None for each in said):
            return None
        return [v for each in said for v in each or [HOLE]]


class _Named(_Walk):
    """Looks expressions up, walks over nothing."""

    def __post_init__(self) -> None:
        pass


def written(text: str) -> str:
    """A template as it stands in the tables: adjacent parts are one."""
    text = _FORMATS.sub(HOLE, " ".join(text.split()))
    text = re.sub(f"{HOLE}+", HOLE, text)
    return text.replace("{", "{{").replace("}", "}}").replace(HOLE, "{}")


def _product(pieces: list[list[str]]) -> list[str]:
    count = 1
    for piece in pieces:
        count *= len(piece)
    if count > MOST_VARIANTS:
        pieces = [piece if len(piece) == 1 else [HOLE] for piece in pieces]
    return ["".join(each) for each in itertools.product(*pieces)]


def _is_text(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=str()) | ast.JoinedStr():
            return True
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return _is_text(left) or _is_text(right)
        case ast.Call(func=ast.Attribute(attr="format", value=value)):
            return _is_text(value)
    return False


def _parts(node: ast.expr) -> Iterator[ast.expr]:
    """What is interpolated."""
    match node:
        case ast.JoinedStr(values=values):
            yield from (v.value for v in values if isinstance(v, ast.FormattedValue))
        case ast.BinOp(left=left, right=right):
            for side in (left, right):
                yield from _parts(side) if _is_text(side) else [side]
        case ast.Call(args=args, keywords=keywords):
            yield from args
            yield from (keyword.value for keyword in keywords)


def _continues(text: str) -> bool:
    return not text or text[0] in " ,;.)" or text.startswith((": ", "(", "\n"))


def _counts(text: str, error: bool) -> bool:
    if _continues(text) or text[-1].isspace():
        return False
    text = " ".join(_FORMATS.sub(HOLE, text).split())
    if text.count(" ") > MOST_NAMES and text.replace(" ", "").isalnum():
        return False
    if _SQL.match(text) or _CHINESE.search(text) or _CODE.fullmatch(text):
        return False
    return bool(_WORDS.search(text)) or (error and " " in text and bool(re.search("[a-z]", text)))


def _name(function: ast.expr | None) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


if __name__ == "__main__":
    for each in phrases():
        print(f"{each.file}:{each.line}: {each.template}")
