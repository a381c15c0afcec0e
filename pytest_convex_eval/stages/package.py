"""package: package.json is valid, its packages exist, and the expected files are there."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase

from pytest_convex_eval.expectations.model import Expectations
from pytest_convex_eval.outcomes import Files, Finding
from pytest_convex_eval.stages.package_json import PATH, PackageJson, finding_at, read_package_json
from pytest_convex_eval.stages.protocol import Report, Stage, StageContext, Tools
from pytest_convex_eval.toolchain.model import DependencySet
from pytest_convex_eval.toolchain.packages.dependencies import DependencyError
from pytest_convex_eval.toolchain.packages.ranges import satisfies

# Installing and looking up what doesn't exist takes npm a second or two a package: an answer may
# not keep it busy for an hour.
MOST_PACKAGES = 100
"""Declared ones; the largest app has half of that."""

MOST_UNUSABLE = 10


class PackageStage(Stage):
    """Establishes the dependencies that the other stages check against.

    A package that can't be had is a finding, by name; the rest of the answer is then checked with
    what remains, so that it costs the model one finding and not the whole report.
    """

    name = "package"
    order = 200
    # A dependency set that this machine does not have yet is installed here.
    deadline_seconds = 300.0
    stands_on = ("format",)

    def check(self, context: StageContext) -> Report:
        if not context.files:
            return Report(missing="there are no files")
        expect = context.subject.expect
        findings = list(_file_findings(context.files, expect))
        text = context.files.get(PATH)
        if text is None:
            findings.append(Finding("package/missing", "the answer has no package.json"))
            package = PackageJson({}, {}, {}, ())
        else:
            package = read_package_json(text)
        findings += package.findings
        context.dependencies, unusable = install_declared(package, text or "", context.tools)
        findings += unusable.values()
        fit = package.usable.keys() - unusable.keys()
        findings += _expected(package, fit, text or "", expect, context.dependencies)
        if any(finding.path in (PATH, None) for finding in findings if finding.severity == "error"):
            # The other tools read package.json too, and would say the same again.
            stand_in = json.dumps({"dependencies": dict(context.dependencies.versions)}, indent=2)
            context.files = {**context.files, PATH: stand_in}
        return Report(tuple(findings))


def _file_findings(files: Files, expect: Expectations) -> Iterator[Finding]:
    for path in expect.files:
        if path not in files:
            yield Finding("package/file-missing", f"the answer must have the file {path}")
    for pattern in expect.forbid_files:
        for path in files:
            if fnmatchcase(path, pattern):
                yield Finding(
                    "package/forbidden-file", f"the answer must not have {pattern}", path=path
                )


def install_declared(
    package: PackageJson, text: str, tools: Tools
) -> tuple[DependencySet, dict[str, Finding]]:
    """The installed dependencies; what can't be had is taken out, and found fault with by name.

    Of too many, and of too many that can't be had, only `convex` is installed.
    """
    findings: dict[str, Finding] = {}
    wanted = dict(package.usable)
    if len(wanted) > MOST_PACKAGES:
        message = f"{len(wanted)} packages are declared; {MOST_PACKAGES} are allowed"
        findings[""] = Finding("package/too-many-packages", message, path=PATH)
        return tools.dependencies.default_set(), findings
    # Each round takes one declaration away.
    while True:
        wanted.setdefault("convex", tools.dependencies.default_set().convex_version)
        try:
            return tools.dependencies.get(wanted), findings
        except DependencyError as error:
            findings[error.name or "convex"] = _unusable(error, text)
            if error.name is None or wanted.pop(error.name, None) is None:
                return tools.dependencies.default_set(), findings
            if len(findings) == MOST_UNUSABLE:
                message = f"{MOST_UNUSABLE} packages can't be had; the others are not looked up"
                findings[""] = Finding("package/not-looked-up", message, "info", PATH)
                return tools.dependencies.default_set(), findings


def _unusable(error: DependencyError, text: str) -> Finding:
    if error.name is None:
        return error.finding()
    return finding_at(text, error.name, error.code, str(error))


def _expected(
    package: PackageJson,
    fit: Collection[str],
    text: str,
    expect: Expectations,
    installed: DependencySet,
) -> Iterator[Finding]:
    declared = {**package.dev_dependencies, **package.dependencies}
    for name, allowed in {**expect.dependencies, "convex": expect.convex}.items():
        if name not in declared:
            if name != "convex":
                message = f"the answer must depend on {name} ({allowed})"
                yield Finding("package/dependency-missing", message, path=PATH)
            continue
        version = installed.versions.get(name)
        # A package that could not be had has its finding already.
        if version is not None and name in fit and not satisfies(version, allowed):
            message = f"{name}: {declared[name]!r} resolves to {version}, outside {allowed!r}"
            yield finding_at(text, name, "package/outside-expected", message)
