"""The results of tests, from JUnit files."""

from xml.etree import ElementTree


def results(file):
    """Return the counts of a file and its failures; None if it is missing or damaged."""
    try:
        cases = list(ElementTree.parse(file).iter("testcase"))
    except (OSError, ElementTree.ParseError):
        return None
    failures = [
        {"test": f"{case.get('classname')}::{case.get('name')}", "message": _first_line(bad)}
        for case in cases
        for bad in (*case.iter("failure"), *case.iter("error"))
    ]
    skipped = sum(case.find("skipped") is not None for case in cases)
    return {
        "tests": len(cases),
        "failed": len({failure["test"] for failure in failures}),
        "skipped": skipped,
        "failures": failures,
    }


def _first_line(element):
    message = element.get("message") or element.text or ""
    return next(iter(message.strip().splitlines()), "")[:300]
