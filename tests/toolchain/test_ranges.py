from __future__ import annotations

import json
import random
import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_convex_eval.toolchain.packages import ranges
from pytest_convex_eval.toolchain.packages.node import node_runtime
from pytest_convex_eval.toolchain.packages.npm import is_valid_package_name
from pytest_convex_eval.toolchain.packages.published import convex_snapshot
from pytest_convex_eval.toolchain.packages.ranges import (
    SpecKind,
    classify,
    max_satisfying,
    pick,
    satisfies,
)

VERSIONS = (
    "0.0.3",
    "0.2.3",
    "1.0.0",
    "1.2.3-alpha.7",
    "1.2.3",
    "1.2.4",
    "1.4.9",
    "1.31.2",
    "1.31.7",
    "1.44.0-alpha.2",
    "1.44.0",
    "1.48.0",
    "2.0.0",
    "2.1.0-beta.1",
)

# Each form that package.json files of models and people were seen to have.
ODD: dict[str, tuple[SpecKind, str | None]] = {
    "": ("range", "2.0.0"),
    " ": ("range", "2.0.0"),
    "*": ("range", "2.0.0"),
    "x": ("range", "2.0.0"),
    "X": ("range", "2.0.0"),
    "||": ("range", "2.0.0"),
    "1": ("range", "1.48.0"),
    "1.x": ("range", "1.48.0"),
    "1.2.x": ("range", "1.2.4"),
    "~1.2": ("range", "1.2.4"),
    "~>1.31.2": ("range", "1.31.7"),
    "~> 1.44": ("range", "1.44.0"),
    "^ 1.44.0": ("range", "1.48.0"),
    ">= 1.44": ("range", "2.0.0"),
    ">=1.44.0 <2": ("range", "1.48.0"),
    ">=1.44.0 ,<2": ("range", "2.0.0"),
    "1.2.3 - 1.4": ("range", "1.4.9"),
    "^1.31.2 || ^2": ("range", "2.0.0"),
    "=1.44.0": ("range", "1.44.0"),
    "v1.44.0": ("range", "1.44.0"),
    "= v1.44.0": ("range", "1.44.0"),
    "^1.44.0-alpha.1": ("range", "1.48.0"),
    "1.44.0-alpha.2": ("range", "1.44.0-alpha.2"),
    "^1.0.0beta": ("range", "1.48.0"),
    "^0.2.3": ("range", "0.2.3"),
    "^0.0.3": ("range", "0.0.3"),
    "^1.2.3+build.5": ("range", "1.48.0"),
    "^99.0.0": ("range", None),
    "<0.0.1": ("range", None),
    "latest": ("tag", None),
    "next": ("tag", None),
    "1.2.3.4": ("tag", None),
    "*.1.2": ("tag", None),
    "99999999999999999999.0.0": ("tag", None),
    "npm:convex@^1": ("alias", None),
    "NPM:convex@^1": ("alias", None),
    "workspace:*": ("workspace", None),
    "workspace:^1.0.0": ("workspace", None),
    "file:../convex": ("file", None),
    "./convex": ("file", None),
    "../convex": ("file", None),
    "/convex": ("file", None),
    "~/convex": ("file", None),
    "C:convex": ("file", None),
    "convex.tgz": ("file", None),
    "a/b/c": ("file", None),
    "get-convex/convex-js": ("git", None),
    "get-convex/convex-js#semver:^1": ("git", None),
    "github:get-convex/convex-js": ("git", None),
    "gist:abc": ("git", None),
    "git@github.com:get-convex/convex-js.git": ("git", None),
    "git+ssh://git@example.com:a/b.git": ("git", None),
    "git://example.com/a.git": ("git", None),
    "https://github.com/get-convex/convex-js": ("git", None),
    "https://example.com/convex.tgz": ("url", None),
    "http://example.com/convex": ("url", None),
    "link:../convex": ("invalid", None),
    "catalog:": ("invalid", None),
    "jsr:@a/b": ("invalid", None),
    "^^1": ("invalid", None),
    "=>1.2": ("invalid", None),
    ">=1.31.0<1.40.0": ("invalid", None),
    "foo bar": ("invalid", None),
    "%20": ("invalid", None),
    "1.\u0663": ("invalid", None),
    "^1" * 200: ("invalid", None),
}


@pytest.mark.parametrize("spec", ODD)
def test_odd_specs(spec: str) -> None:
    kind, highest = ODD[spec]
    assert classify(spec) == kind
    assert max_satisfying(spec, VERSIONS) == highest


NPM = """
const require = (await import("node:module")).createRequire(process.argv[1]);
const semver = require("semver"), npa = require("npm-package-arg");
const validName = require("validate-npm-package-name");
let input = "";
for await (const chunk of process.stdin) input += chunk;
const { specs, versions, few, names } = JSON.parse(input);
const kind = (spec) => { try { return npa.resolve("a", spec).type } catch (e) { return e.code } };
console.log(JSON.stringify({
  specs: specs.map((spec) => ({
    kind: kind(spec),
    highest: semver.maxSatisfying(versions, spec, { loose: true }),
    inside: few.filter((version) => semver.satisfies(version, spec, { loose: true })),
  })),
  names: names.map((name) => validName(name).validForOldPackages),
}));
"""

# npm's word for each kind, where it is not ours.
NPM_KINDS = {
    "version": "range",
    "remote": "url",
    "directory": "file",
    "EINVALIDTAGNAME": "invalid",
    "EUNSUPPORTEDPROTOCOL": "invalid",
}


def composed_ranges(count: int) -> list[str]:
    """Ranges put together from the grammar's parts, spaces and mistakes among them."""
    chance = random.Random(7)
    numbers = ["0", "1", "2", "31", "44", "x", "*"]

    def comparator() -> str:
        parts = chance.choices(numbers[:5], k=chance.randint(1, 3))
        if chance.random() < 0.3:
            parts[-1] = chance.choice(numbers[5:])
        tail = chance.choice(["-alpha.2", "-beta", "+b.1"]) if len(parts) == 3 else ""
        operator = chance.choice(["", "", "^", "~", "~>", ">", ">=", "<", "<=", "=", "v", "!"])
        return operator + chance.choice(["", "", " "]) + ".".join(parts) + tail

    def together() -> str:
        joined = chance.choice([" ", "  ", " || ", "||", " - ", ", "])
        return joined.join(comparator() for _ in range(chance.randint(1, 3)))

    return [together() for _ in range(count)]


def test_agrees_with_npms_own_programs() -> None:
    specs = [*ODD, *composed_ranges(1500)]
    # npm sets no limit on a range's length, nor has it a word for these two.
    specs = [s for s in specs if len(s) < 257 and not s.startswith("workspace:") and s.isascii()]
    assert len(specs) > 1000
    versions = [*convex_snapshot().versions, *VERSIONS]
    names = ["convex", "@convex-dev/auth", "Bad Name", "node_modules", ".a", "_a", "-a", "a/b"]
    names += ["@a", "@a/", "@/a", "@a/.b", "@a/_b", "UPPER", "a~b", "a b", "", "favicon.ico", "ä"]
    names += ["@a/b/c", "..", "a%20b", "a:b", "@a b/c", "fs", "a" * 300]
    sent = {"specs": specs, "versions": versions, "few": VERSIONS, "names": names}
    runtime = node_runtime()
    said = subprocess.run(
        [runtime.node, "--input-type=module", "-e", NPM, runtime.npm],
        input=json.dumps(sent),
        check=True,
        capture_output=True,
        text=True,
    )
    answer = json.loads(said.stdout)
    for spec, npm in zip(specs, answer["specs"], strict=True):
        ours = {
            "kind": classify(spec),
            "highest": max_satisfying(spec, versions),
            "inside": [v for v in VERSIONS if satisfies(v, spec)],
        }
        kind = NPM_KINDS.get(npm["kind"], npm["kind"])
        assert ours == {**npm, "kind": kind}, spec
    for name, valid in zip(names, answer["names"], strict=True):
        assert is_valid_package_name(name) == valid, name


@given(st.text(max_size=300) | st.text("0123456789.xX*^~<>=| -+v,", max_size=300))
def test_any_text_is_judged(spec: str) -> None:
    assert classify(spec) != "range" or ranges.is_valid_range(spec)
    found = max_satisfying(spec, VERSIONS)
    assert found is None or satisfies(found, spec)


@pytest.mark.parametrize(
    "unit", [" ", "1.", "^", "1 - ", "||", "~> ", "=v", ">1-a", "1.2.3-a.", "+"]
)
def test_hostile_text_takes_no_time(unit: str) -> None:
    started = time.process_time()
    for tail in ("", "!"):
        classify((unit * 300)[: ranges.MAX_SPEC_CHARACTERS - 1] + tail)
    # Of CPU: what is exponential takes years.
    assert time.process_time() - started < 20


def test_npms_choice() -> None:
    tags = {"latest": "1.44.0", "next": "2.0.0"}
    assert pick("^1.31.0", VERSIONS, tags) == "1.44.0"
    assert pick("*", VERSIONS, tags) == "1.44.0"
    assert pick(">1.44.0", VERSIONS, tags) == "2.0.0"
    assert pick("~1.31.0", VERSIONS, tags) == "1.31.7"
    assert pick("latest", VERSIONS, tags) == "1.44.0"
    assert pick("next", VERSIONS, tags) == "2.0.0"
    assert pick("canary", VERSIONS, tags) is None
    assert pick("file:../x", VERSIONS, tags) is None
