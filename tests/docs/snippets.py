"""The code blocks of a page, in order, with what has to run before them and is not shown."""

import ast
import doctest
import re

BLOCK = re.compile(
    r"^```(?P<language>\w+)\n(?P<shown>.*?)^```$|^<!-- run first:\n(?P<hidden>.*?)^-->$",
    re.MULTILINE | re.DOTALL,
)
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS

RUN, ONLY_SHOWN, OTHERS = "python", "py", {"sh", "text", "image", "toctree", "include"}
"""Languages: code that runs, code that needs what is not there, and what is no Python."""


def blocks(text):
    """Yields the language and the text of each block; of those that are not shown, ``python``."""
    for found in BLOCK.finditer(text):
        if found["hidden"] is None:
            yield found["language"], found["shown"]
        else:
            yield RUN, found["hidden"]


def run_all(text, name):
    """Runs the blocks in one namespace; returns how many ran."""
    namespace = {"__name__": "__page__"}
    ran = 0
    for language, code in blocks(text):
        if language == ONLY_SHOWN:
            ast.parse(code)
        elif language != RUN:
            assert language in OTHERS, language
        elif code.startswith(">>>"):
            ran += 1
            run_doctest(code, namespace, name)
        else:
            ran += 1
            exec(compile(code, name, "exec"), namespace)
    return ran


def run_doctest(code, namespace, name):
    test = doctest.DocTest(
        doctest.DocTestParser().get_examples(code, name), namespace, name, name, 0, code
    )
    assert test.examples
    output = []
    result = doctest.DocTestRunner(optionflags=FLAGS).run(
        test, out=output.append, clear_globs=False
    )
    namespace.update(test.globs)  # which is a copy
    assert result.failed == 0, "".join(output)
