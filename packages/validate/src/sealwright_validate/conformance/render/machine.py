"""The outcome for machines: JSON, and JUnit XML with one suite a target. May never report a weak verdict as a
failure.
"""

import json
import re
from typing import Any, Final
from xml.etree import ElementTree as ET

from sealwright_validate.conformance.grade import Grade, Table

_NOT_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd]")  # XML 1.0 §2.2, basic plane


def as_json(table: Table) -> str:
    """Everything but the tokens."""
    return json.dumps(
        {
            "made_at": table.made_at,
            "absent": dict(table.absent),
            "targets": [_target(table, at) for at in range(len(table.columns))],
            "cases": [
                {
                    "name": case.name,
                    "group": case.group,
                    "how": case.how,
                    "why": case.why,
                    "force": case.force.value,
                    "accept": case.accept,
                }
                for case in table.cases
            ],
        },
        indent=1,
    )


def _target(table: Table, at: int) -> dict[str, Any]:
    column = table.columns[at]
    return {
        "name": column.name,
        "version": column.version,
        "counts": {grade.value: column.count(grade, table.cases) for grade in Grade},
        "said": {
            name: {"verdict": said.verdict.value, "detail": said.detail, "grade": column.grades[name].value}
            for name, said in column.said.items()
        },
    }


def as_junit(table: Table) -> str:
    """JUnit XML: wrong verdicts are failures, weak ones are noted, what does not apply is skipped."""
    root = ET.Element("testsuites", name="token validation conformance")
    for column in table.columns:
        suite = ET.SubElement(
            root,
            "testsuite",
            name=column.title,
            tests=str(len(table.cases)),
            failures=str(column.count(Grade.WRONG, table.cases)),
            skipped=str(column.count(Grade.NOT_APPLICABLE, table.cases)),
        )
        for case in table.cases:
            entry = ET.SubElement(suite, "testcase", classname=f"{column.name}.{case.group}", name=case.name)
            said, grade = column.said[case.name], column.grades[case.name]
            if grade is Grade.WRONG:
                failure = ET.SubElement(entry, "failure", message=f"{said.verdict} what must not be")
                failure.text = _NOT_XML.sub("?", f"{case.how} ({case.why})")
            elif grade is Grade.NOT_APPLICABLE:
                ET.SubElement(entry, "skipped")
            elif grade is Grade.WEAK:
                ET.SubElement(entry, "system-out").text = f"weak: {said.verdict} {said.detail}"
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
