import pytest

from maskwise.errors import InputError
from maskwise.lab.tuning.settings import TuneSettings, resolve_tuning


def test_the_defaults_are_the_papers():
    settings = TuneSettings()
    paper = (5e-5, 256, 50, 5)
    assert (settings.learning_rate, settings.batch_size, settings.max_epochs, settings.patience) == paper


def test_frozen_tuning_lasts_one_epoch_unless_told_otherwise():
    assert resolve_tuning({"freeze": True}).max_epochs == 1
    assert resolve_tuning({"freeze": True}, {"max_epochs": 9}).max_epochs == 9


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"lerning_rate": 1}, "'tune.lerning_rate'. Did you mean 'learning_rate'?"),
        ({"batch_size": 0}, "'tune.batch_size'"),
        ({"select_on": "test"}, "found 'test'"),
        ({"select_share": 1.5}, "found 1.5"),
    ],
)
def test_a_wrong_setting_is_named(values, said):
    with pytest.raises(InputError, match=said.replace("?", r"\?")):
        resolve_tuning(values)
