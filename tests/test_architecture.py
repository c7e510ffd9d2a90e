"""The house rules that a program can check: imports point one way, nothing heavy comes in, help is quick, files are short."""

import ast
import os
import subprocess
import sys
from importlib.metadata import distribution, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import manymodal

SOURCE = Path(manymodal.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

# What each part may import of the others (DESIGN: imports point one way). `cells`, `errors`, `files`, `progress`, `words` are free to all.
FREE = {"cells", "errors", "files", "progress", "words"}
BASE = {"embeddings", "matching"}
CORRECTIONS = {"hubness", "centring", "calibration"}
ALLOWED = {
    "errors": set(),
    "files": {"errors"},
    "progress": set(),
    "words": set(),
    "cells": set(),
    "embeddings": set(),
    "matching": {"embeddings"},
    "compose": BASE,
    "ranks": BASE,
    "hubness": BASE,
    "centring": BASE | {"compose"},
    "calibration": BASE | {"compose"},
    "fusion": set(),
    "processes": BASE,
    "objectives": BASE | {"compose", "processes"},
    "evaluation": BASE | {"compose", "ranks", "fusion"} | CORRECTIONS,
    "index": BASE | {"compose"} | CORRECTIONS,
    "collection": set(),
    "encoders": {"collection"},
    "training": BASE | {"objectives", "encoders", "processes"},
}
INNER = set(ALLOWED) | FREE
SPACE = {
    "towers",
    "preparing",
    "fitting",
    "querying",
    "saving",
    "folder",
    "vector_files",
    "vectors",
    "showing",
    "measuring",
    "space",
    "keeping",
    "indexing",
    "building",
    "requests",
    "searched",
    "answering",
    "overview",
    "search_index",
}
ALLOWED |= dict.fromkeys(SPACE, INNER | SPACE)
ALLOWED |= {"demo": INNER | SPACE | {"demo"}, "server": INNER | SPACE, "__main__": {"cli"}}
ALLOWED |= {"cli": INNER | SPACE | {"demo", "server"}}


def part(path):
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path):
    """Parts of manymodal that a file imports, wherever in the file."""
    depth = len(path.relative_to(SOURCE).parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            if node.level == depth:  # from the package's root
                yield from [node.module.split(".")[0]] if node.module else [a.name for a in node.names]
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            assert not any(name.split(".")[0] == "manymodal" for name in names), f"{path}: import relatively"


@pytest.mark.parametrize(
    "path", [f for f in FILES if f.parent != SOURCE or f.stem != "__init__"], ids=lambda p: str(p.relative_to(SOURCE))
)
def test_imports_point_one_way(path):
    strange = set(imported(path)) - ALLOWED[part(path)] - FREE - {part(path)}
    assert not strange, f"{part(path)} may not know {strange}"


def test_the_rule_covers_every_part():
    assert {part(f) for f in FILES} - {"__init__"} == set(ALLOWED)


def test_files_are_short():
    long = {
        str(f.relative_to(SOURCE)): n for f in FILES if (n := len(f.read_text(encoding="utf-8").splitlines())) > 320
    }
    assert not long, f"about 300 lines at most: {long}"


def closure(name, extras=(), seen=None):
    """Names of all distributions that installing this one brings, torch's own apart."""
    seen = set() if seen is None else seen
    for line in requires(name) or []:
        requirement = Requirement(line)
        wanted = [{"extra": extra} for extra in extras] or [{"extra": ""}]
        if requirement.marker and not any(requirement.marker.evaluate(environment) for environment in wanted):
            continue
        key = canonicalize_name(requirement.name)
        if key in seen or key == "torch":
            continue
        seen.add(key)
        try:
            distribution(key)
        except ModuleNotFoundError:
            continue  # needed on another system
        closure(key, tuple(requirement.extras), seen)
    return seen


def test_no_dependency_brings_torchvision_or_a_gpu_build():
    found = closure("manymodal", ("", "pretrained", "serve"))
    assert {"numpy", "pyarrow", "transformers", "safetensors", "lancedb", "fastapi"} <= found  # the walk works
    assert not [name for name in found if name in ("torchvision", "torchaudio") or name.startswith("nvidia")]


def test_help_imports_nothing_heavy():
    code = "import sys; sys.argv = ['manymodal', '--help']\nfrom manymodal.cli import main\ntry: main()\nexcept SystemExit: pass\n"
    code += "print('LOADED', sorted({'torch', 'transformers', 'numpy', 'pyarrow', 'matplotlib', 'pandas', 'lancedb', 'fastapi'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "COLUMNS": "100"}, check=True
    )
    assert "fit" in done.stdout and "search" in done.stdout
    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_collection_reads_without_torch():
    code = "import sys, manymodal\nmanymodal.read_collection([{'a': 'one text', 'b': [1.0, 2.0]}])\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names_are_there():
    for name in manymodal.__all__:
        assert getattr(manymodal, name) is not None
    with pytest.raises(AttributeError, match="Space"):
        manymodal.nonsense  # noqa: B018
