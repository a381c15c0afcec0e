"""format: the reply is complete and holds files whose paths are safe."""

from __future__ import annotations

from pytest_convex_eval.outcomes import Finding
from pytest_convex_eval.stages.protocol import Report, Stage, StageContext
from pytest_convex_eval.workspace.paths import admit


class FormatStage(Stage):
    """Establishes the files that the other stages check: the safe ones over the starting files."""

    name = "format"
    order = 100
    deadline_seconds = 10.0
    stands_on = ()

    def check(self, context: StageContext) -> Report:
        subject = context.subject
        admission = admit(subject.answer)
        findings = (*subject.remarks, *admission.findings)
        if admission.files:
            # The case's own files are held to the same rules, without blaming the answer.
            merged = admit({**admit(subject.starting).files, **admission.files})
            context.files = merged.files
            # An answer may be at odds with the files that it was given.
            at_odds = (one for one in merged.findings if one.code == "format/path-conflict")
            findings = (*findings, *at_odds)
        elif not any(finding.severity == "error" for finding in findings):
            none = Finding("format/no-files", "the reply holds no file that can be used")
            findings = (*findings, none)
        return Report(findings)
