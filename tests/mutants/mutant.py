"""What a mutant is."""

import shlex
from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """A fault in one line of the sources, and the tests that should notice it.

    Attributes:
        fault: what is wrong, in a few words; it names the mutant.
        file: the mutated file, from the root of the checkout.
        old: text that stands exactly once in the file.
        new: what takes its place.
        tests: the arguments of pytest: the fewest tests that should fail.
        hangs: whether running for ever counts as a failure.
    """

    fault: str
    file: str
    old: str
    new: str
    tests: str
    hangs: bool = False

    def applied(self, text):
        """Return the mutated text of the file.

        Raises:
            ValueError: the old text does not stand exactly once in it.
        """
        count = text.count(self.old)
        if count != 1:
            raise ValueError(f"{self.file}: {count} times, and not once: {self.old!r}")
        return text.replace(self.old, self.new)

    @property
    def arguments(self):
        """The arguments of pytest, one by one."""
        return shlex.split(self.tests)
