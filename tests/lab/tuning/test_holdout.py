import pytest

from maskwise.errors import InputError
from maskwise.lab.tuning.holdout import set_aside


def test_the_seed_draws_the_share():
    assert set_aside(100, 0.1, 0) == set_aside(100, 0.1, 0) != set_aside(100, 0.1, 1)


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_a_set_too_small_to_share_is_refused(share):
    with pytest.raises(InputError, match="has 20 examples"):
        set_aside(20, share, 0)
