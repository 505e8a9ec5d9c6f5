"""The texts of `gpuopt verify`, from findings that are made up."""

import json

from gpuopt.doctor import report as examine
from gpuopt.messages.tables import text_of
from gpuopt.verify.checks import Check
from gpuopt.verify.plan import Plan
from gpuopt.verify.report import (
    DETAILED,
    SHOWN,
    Findings,
    data_of,
    line_of,
    markdown_of,
    summary_of,
    table_of,
    verdict,
)
from gpuopt.verify.runner import DIED, DIFFERS, ERROR, HUNG, NOT_RUN, SAME, Result

GPU = {"name": "NVIDIA H100", "memory": "81559 MiB", "compute_capability": "9.0", "driver": "580.1"}


def difference(number):
    first = {"at": [number], "found": "1.0 (0x3f800000)", "expected": "2.0 (0x40000000)"}
    return {
        "what": f"param {number}",
        "dtype": "float32",
        "elements": 10,
        "differ": 2,
        "first": [first],
    }


def made(outcome, backend="triton", library="torch", dtype="float32", **others):
    return Result(Check(backend, library, "rule", dtype=dtype), outcome, 1.25, **others)


RESULTS = [
    made(SAME),
    made(DIFFERS, dtype="float16", differences=[difference(i) for i in range(7)]),
    made(ERROR, "cupy", "cupy", text="Traceback\nValueError: no"),
    made(DIED, "cupy", "cupy", dtype="float64", text="its process was killed by signal 11"),
    made(HUNG, "cupy", "cupy", dtype="float16"),
    made(NOT_RUN, "cupy", "cupy", dtype="bfloat16"),
]


def found(results=RESULTS, unseen=("llvm: not installed",), **devices):
    machine = examine()
    machine["devices"]["cuda"] = {"devices": [], "problem": "none", **devices}
    return Findings(Plan(machine, [r.check for r in results], list(unseen)), results, 12.3)


def test_lines_begin_with_the_outcome():
    assert line_of(RESULTS[0]) == "same       1.2 s  triton, torch tensors: adam float32"
    words = [line_of(result).split("  ")[0].strip() for result in RESULTS]
    assert words == ["same", "DIFFERS", "ERROR", "DIED", "HUNG", "NOT RUN"]


def test_the_table_counts_each_backend():
    rows = [" ".join(line.split()) for line in text_of(table_of(RESULTS)).splitlines()[:3]]
    assert rows == [
        "checks same differ failed not run",
        "triton, torch tensors 2 1 1 0 0",
        "cupy, CuPy arrays 4 0 0 3 1",
    ]


def test_what_is_wrong_is_shown_with_its_first_elements_and_no_more_than_some_arrays():
    text = summary_of(found())
    assert "\n  param 0: 2 of 10 elements of float32 differ\n" in text
    assert "\n    at [0]: 1.0 (0x3f800000), not 2.0 (0x40000000)\n" in text
    assert "param 4: " in text and "param 5: " not in text
    assert "\n  and 2 more arrays\n" in text
    assert "\n  Traceback\n  ValueError: no\n" in text
    assert text.endswith("\n6 checks, of which 5 did not give the bits of NumPy, in 12 s.")


def test_the_problems_of_some_checks_are_printed_and_the_others_counted():
    def text(count):
        return summary_of(found([made(ERROR, text=f"problem {i};") for i in range(count)]))

    assert f"problem {SHOWN - 1};" in text(SHOWN) and "see the report" not in text(SHOWN)
    assert f"problem {SHOWN - 1};" in text(SHOWN + 2) and f"problem {SHOWN};" not in text(SHOWN + 2)
    assert "\n\nand 2 more checks: see the report\n\n" in text(SHOWN + 2)


def test_verdicts():
    assert verdict(found(RESULTS[:1])) == "1 check: the same bits as NumPy in each, in 12 s."
    assert verdict(found([])).startswith("Nothing was compared: ")


def test_a_report_names_devices_and_drivers():
    text = markdown_of(found(devices=[GPU], problem=None))
    assert "\ncuda:0: NVIDIA H100, 81559 MiB, 9.0, 580.1\n" in text
    assert "\n- llvm: not installed\n" in text
    assert "## differs: triton, torch tensors: adam float16\n\n```\nparam 0: 2 of 10 " in text
    assert "\ncuda: none\n" in markdown_of(found())


def test_a_report_of_many_failures_still_fits_an_issue():
    many = [made(DIFFERS, differences=7 * [difference(3)]) for _ in range(DETAILED + 200)]
    text = markdown_of(found(many))
    assert text.count("## differs: ") == DETAILED
    assert text.count("- differs: triton, torch tensors: adam float32") == 200
    assert len(text) < 65536


def test_data_have_all_differences():
    data = json.loads(json.dumps(data_of(found())))
    assert not data["ok"]
    assert data["counts"] == dict.fromkeys([SAME, DIFFERS, ERROR, DIED, HUNG, NOT_RUN], 1)
    assert len(data["checks"][1]["differences"]) == 7
    assert data["unseen"] == ["llvm: not installed"]
