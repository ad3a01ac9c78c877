"""How many inputs each target gets, and how a file's bytes are damaged. Not a test itself.

FUZZ_INPUTS in the environment (`make fuzz`) is the number of all inputs together, drawn again each
time; without it each target gets a few, the same every time.
"""

import functools
import os
from collections import Counter

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

INPUTS = int(os.environ.get("FUZZ_INPUTS", "0"))
FEW = 12
#: All weights of `fuzzed` together; test_the_shares_are_the_whole checks it.
WEIGHTS = 532
COUNTS = Counter()


def fuzzed(weight, target=None, **strategies):
    """Give a test drawn arguments; of INPUTS it gets weight/WEIGHTS, split by its `target`.

    An input that fails is kept by hypothesis in .hypothesis/, and tried first the next time. It is
    not made smaller: it is small, and each attempt at a hang takes its time.
    """

    def decorate(test):
        @functools.wraps(test)
        def counted(*arguments, **named):
            COUNTS[test.__name__ if target is None else f"{test.__name__}[{named[target]}]"] += 1
            return test(*arguments, **named)

        share = max(FEW, -(-INPUTS * weight // WEIGHTS))
        options = {
            "max_examples": share,
            "derandomize": not INPUTS,
            "deadline": None,  # tests/fuzz/child.py has one
            "suppress_health_check": list(HealthCheck),
            "phases": [Phase.explicit, Phase.reuse, Phase.generate],
        }
        decorated = settings(**options)(given(**strategies)(counted))
        decorated.weight = weight
        return decorated

    return decorate


PLACES = st.integers(0, (1 << 30) - 1)
LENGTHS = st.integers(1, 64)
EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), PLACES, st.integers(0, 7)),
        st.tuples(st.just("set"), PLACES, st.binary(min_size=1, max_size=8)),
        st.tuples(st.just("insert"), PLACES, st.binary(min_size=1, max_size=8)),
        st.tuples(st.just("delete"), PLACES, LENGTHS),
        st.tuples(st.just("repeat"), PLACES, LENGTHS),
        st.tuples(st.just("move"), PLACES, st.tuples(PLACES, LENGTHS)),
        st.tuples(st.just("zero"), PLACES, LENGTHS),
        st.tuples(st.just("cut"), PLACES, st.none()),
    ),
    min_size=1,
    max_size=4,
)


def damaged(content, edits):
    """The bytes after the edits, each at a place that counts modulo the length."""
    content = bytearray(content)
    for kind, place, what in edits:
        at = place % max(1, len(content))
        if kind == "flip" and content:
            content[at] ^= 1 << what
        elif kind == "set":
            content[at : at + len(what)] = what
        elif kind == "insert":
            content[at:at] = what
        elif kind == "delete":
            del content[at : at + what]
        elif kind == "repeat":
            content[at:at] = content[at : at + what]
        elif kind == "move":
            target, length = what
            piece = content[at : at + length]
            del content[at : at + length]
            target %= len(content) + 1
            content[target:target] = piece
        elif kind == "zero":
            content[at : at + what] = bytes(len(content[at : at + what]))
        elif kind == "cut":
            del content[at:]
    return bytes(content)
