import torch
from torch import nn

from maskwise.lab.tuning.best_weights import BestWeights


def run(figures, patience=2):
    model = nn.Linear(1, 1, bias=False)
    best = BestWeights(model, patience)
    for number, (score, loss) in enumerate(figures, start=1):
        model.weight.data.fill_(number)
        best.add(score, loss)
        if best.is_over:
            break
    return model, best


def test_the_highest_score_wins_and_its_weights_come_back():
    model, best = run([(0.5, 1.0), (0.7, 2.0), (0.6, 0.1)])
    assert best.epoch == 2
    best.restore()
    assert model.weight.item() == 2


def test_of_equal_scores_the_smaller_loss_wins_so_a_plateau_that_still_learns_goes_on():
    """A model that predicts one class for some epochs would otherwise be stopped while its loss still falls."""
    _, best = run([(0.0, 1.0 - step / 10) for step in range(8)])
    assert best.epoch == len(best.history) == 8


def test_it_is_over_after_patience_epochs_without_a_better_one():
    _, best = run([(0.5, 1.0), (0.4, 1.0), (0.5, 1.0), (0.9, 0.0)])
    assert len(best.history) == 3
    assert best.epoch == 1


def test_a_restored_state_goes_on_where_it_was():
    _, best = run([(0.5, 1.0), (0.4, 1.0)], patience=3)
    model, again = run([])
    again.load_state_dict(best.state_dict())
    assert (again.epoch, again.grade, again.history) == (best.epoch, best.grade, best.history)
    again.restore()
    assert model.weight.item() == 1


def test_frozen_weights_are_not_kept():
    model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    model[0].requires_grad_(False)
    best = BestWeights(model, 1)
    best.add(1.0, 0.0)
    assert set(best.weights) == {"1.weight", "1.bias"}
    assert torch.equal(best.weights["1.bias"], model[1].bias)
