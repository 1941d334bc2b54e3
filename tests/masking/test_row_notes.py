import pytest
import torch

from maskwise.errors import InputError
from maskwise.masking.corrupt import IGNORE
from maskwise.masking.linear_loss import linear_mlm_loss, noted_linear_mlm_loss
from maskwise.masking.row_notes import RowNotes, dense_notes, labelled_rows
from maskwise.masking.rows import Rows

ALL = frozenset({"nll", "correct", "entropy"})


def made_up(num_rows=37, width=16, num_vocab=101, seed=0):
    generator = torch.Generator().manual_seed(seed)
    hidden_RD = torch.randn(num_rows, width, generator=generator)
    weight_VD = torch.randn(num_vocab, width, generator=generator)
    bias_V = torch.randn(num_vocab, generator=generator)
    return hidden_RD, weight_VD, bias_V, torch.randint(num_vocab, (num_rows,), generator=generator)


def reference(hidden_RD, weight_VD, bias_V, targets_R):
    """In float64, row by row."""
    logits_RV = hidden_RD.double() @ weight_VD.double().t() + bias_V.double()
    shares_RV = logits_RV.softmax(-1)
    nll_R = -shares_RV.gather(-1, targets_R[:, None])[:, 0].log()
    return nll_R, (logits_RV.argmax(-1) == targets_R).double(), -(shares_RV * shares_RV.log()).sum(-1)


@pytest.mark.parametrize("compiled", [False, True])
def test_notes_are_those_of_dense_float64_logits_and_the_loss_is_unchanged(compiled):
    given = made_up()
    given[0][5:9] = 1.5 * given[1][given[3][5:9]]  # some right answers
    loss, notes = noted_linear_mlm_loss(*given, feedback=ALL, compiled=compiled)
    nll_R, correct_R, entropy_R = reference(*given)
    assert correct_R.sum() >= 4
    torch.testing.assert_close(notes.nll_R.double(), nll_R, rtol=2e-5, atol=2e-5)
    torch.testing.assert_close(notes.entropy_R.double(), entropy_R, rtol=5e-5, atol=5e-5)
    assert notes.is_correct_R.tolist() == correct_R.tolist()
    assert loss.item() == linear_mlm_loss(*given, compiled=compiled).item() or compiled
    torch.testing.assert_close(loss, linear_mlm_loss(*given, compiled=compiled), rtol=1e-6, atol=1e-6)
    for name, value_R in dense_notes(given[0] @ given[1].t() + given[2], given[3], ALL)._asdict().items():
        torch.testing.assert_close(value_R, getattr(notes, name), rtol=5e-5, atol=5e-5)


@pytest.mark.parametrize("compiled", [False, True])
def test_in_bfloat16_the_target_is_held_against_the_tile_it_is_in(compiled):
    """The float32 product of the target's row would be below the rounded maximum of the tile half of the time."""
    hidden_RD, weight_VD, bias_V, _ = made_up(num_rows=300, num_vocab=128, seed=1)
    hidden_RD, weight_VD = hidden_RD.bfloat16(), weight_VD.bfloat16()
    tile_RV = (hidden_RD @ weight_VD.t()).float() + bias_V
    best_R = tile_RV.argmax(-1)
    _, notes = noted_linear_mlm_loss(hidden_RD, weight_VD, bias_V, best_R, feedback={"correct"}, compiled=compiled)
    alone_R = (tile_RV == tile_RV.amax(-1, keepdim=True)).sum(-1) == 1
    assert notes.is_correct_R.tolist() == torch.where(alone_R, 1.0, 0.5).tolist()


def test_a_tie_is_half_right():
    hidden_RD, weight_VD = torch.ones(2, 4), torch.zeros(6, 4)
    weight_VD[1] = weight_VD[2] = 1
    _, notes = noted_linear_mlm_loss(
        hidden_RD, weight_VD, None, torch.tensor([2, 3]), feedback={"correct"}, compiled=False
    )
    assert notes.is_correct_R.tolist() == [0.5, 0.0]


def test_gradients_are_the_same_with_and_without_notes_and_notes_have_none():
    found = []
    for feedback in (frozenset(), frozenset({"nll"}), ALL):
        hidden_RD, weight_VD, bias_V, targets_R = made_up()
        parameters = [hidden_RD.requires_grad_(), weight_VD.requires_grad_(), bias_V.requires_grad_()]
        loss, notes = noted_linear_mlm_loss(*parameters, targets_R, feedback=feedback, compiled=False)
        loss.backward()
        found.append([parameter.grad for parameter in parameters])
        assert not any(value_R.requires_grad for value_R in notes if value_R is not None)
        assert [value_R is not None for value_R in notes] == [
            name in feedback for name in ("nll", "correct", "entropy")
        ]
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("num_rows", [0, 1, 2, 600])
def test_notes_are_there_for_any_number_of_rows(num_rows):
    given = made_up(num_rows=num_rows)
    _, notes = noted_linear_mlm_loss(*given, feedback=ALL, compiled=False)
    assert {len(value_R) for value_R in notes} == {num_rows}


def test_feedback_that_there_is_not_is_refused():
    with pytest.raises(InputError, match=r"feedback 'nnl'\. Known: nll, correct, entropy\. Did you mean 'nll'"):
        noted_linear_mlm_loss(*made_up(), feedback={"nnl"})


def test_labelled_rows_know_their_place_their_example_and_their_fate():
    ids_BT = torch.tensor([[5, 6, 7], [8, 9, 6]])
    corrupted_BT = torch.tensor([[5, 4, 9], [8, 9, 6]])
    labels_BT = torch.tensor([[IGNORE, 6, 7], [IGNORE, 9, IGNORE]])
    rows = Rows.of(labels_BT != IGNORE, at_most=4)
    batch = {"input_ids": ids_BT, "example_id": torch.tensor([70, 80])}
    found = labelled_rows(batch, corrupted_BT, rows, RowNotes(nll_R=torch.arange(4.0)), mask_token_id=4)
    assert found.counted_R.tolist() == [True, True, True, False]
    assert found.token_id_R[:3].tolist() == [6, 7, 9]
    assert found.row_R[:3].tolist() == [0, 0, 1] and found.position_R[:3].tolist() == [1, 2, 1]
    assert found.example_id_R[:3].tolist() == [70, 70, 80]
    assert found.fate_R[:3].tolist() == [0, 1, 2]
    assert found.entropy_R is None
