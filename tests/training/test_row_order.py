import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration
from torch.utils.data import DataLoader, RandomSampler

from maskwise.training.row_order import PART, ShuffledRows


def accelerates_order(num_rows, seed, num_epochs):
    """The rows as accelerate's own sampler gives them to a Trainer."""
    rows = list(range(num_rows))
    accelerator = Accelerator(
        cpu=True, dataloader_config=DataLoaderConfiguration(data_seed=seed, use_seedable_sampler=True)
    )
    loader = accelerator.prepare(DataLoader(rows, batch_size=64, sampler=RandomSampler(rows)))
    for epoch in range(num_epochs):
        loader.set_epoch(epoch)
        yield [int(i) for batch in loader for i in batch]


@pytest.mark.parametrize("num_rows", [1, 65, PART + 3])
def test_the_order_is_accelerates(num_rows):
    """Another order would be another run: saved ones could not be repeated."""
    order = ShuffledRows(num_rows, seed=3)
    for epoch, expected in enumerate(accelerates_order(num_rows, 3, 2)):
        order.set_epoch(epoch)
        assert list(order) == expected


def test_every_row_comes_once_an_epoch_and_epochs_differ():
    order = ShuffledRows(2 * PART + 1, seed=0)
    first = list(order)
    order.set_epoch(1)
    second = list(order)
    assert sorted(first) == sorted(second) == list(range(len(order)))
    assert first != second


def test_the_global_random_state_is_left_alone():
    before = torch.random.get_rng_state()
    list(ShuffledRows(10, seed=0))
    assert torch.equal(torch.random.get_rng_state(), before)
