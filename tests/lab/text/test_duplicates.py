import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from maskwise.lab.text.duplicates import SeenDigests, digest, share


@given(st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=20), max_size=20))
def test_the_first_of_equal_texts_is_new_and_no_other(batches):
    seen, reference = SeenDigests(), set()
    for batch in batches:
        expected = [number not in reference and number not in batch[:at] for at, number in enumerate(batch)]
        assert seen.add([digest(str(number)) for number in batch]).tolist() == expected
        reference |= set(batch)
    assert len(seen) == len(reference)


def test_digests_that_end_in_or_hold_zero_bytes_are_told_apart():
    digests = [bytes(16), bytes(15) + b"\1", b"\1" + bytes(15), b"\1" + bytes(14) + b"\1", b"a" * 8 + bytes(8)]
    seen = SeenDigests()
    assert seen.add(digests).all()
    assert not seen.add(digests).any()


def test_a_digest_costs_16_bytes():
    seen = SeenDigests()
    for begin in range(0, 20_000, 500):
        seen.add([digest(str(number)) for number in range(begin, begin + 500)])
    assert len(seen) == 20_000
    assert sum(run.nbytes for run in seen._runs) == 16 * 20_000
    assert len(seen._runs) < 10


def test_shares_are_uniform_and_depend_on_the_seed():
    digests = [digest(str(number)) for number in range(4000)]
    first, second = (np.array([share(each, seed) for each in digests]) for seed in (0, 1))
    assert abs((first < 0.05).mean() - 0.05) < 0.015
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05
