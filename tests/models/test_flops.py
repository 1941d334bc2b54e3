"""Operations by another route: counted while a model really trains, and from the number of its parameters."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from architectures import random_model
from maskwise.errors import InputError
from maskwise.lab.config import resolve
from maskwise.lab.pretraining.flops import Budget, mean_rate, run_flops, steps_for
from maskwise.models.flops import ForwardFlops, forward_flops
from maskwise.models.presets import PRESETS, build_model
from maskwise.models.sparse import SparseHead

VOCABULARY, BLOCK = 500, 64
STUDENT, TEACHER = ForwardFlops(10.0, 100.0), ForwardFlops(30.0, 200.0)
RUN = Budget(steps=100, steps_an_epoch=20, tokens_a_step=1.0, block=128)


def settings(*, teacher=None, **masking):
    own = {"masking": masking, "data": {"path": "d"}, "model": {"preset": "tiny"}}
    return resolve(own, {"teacher": teacher} if teacher else {})


@pytest.mark.parametrize("preset", PRESETS)
def test_a_forward_pass_is_two_operations_a_parameter_and_the_attention(preset):
    """Every weight matrix once a token, embeddings apart; then queries by keys and weights by values."""
    shape = PRESETS[preset]
    with torch.device("meta"):
        model = build_model(preset, VOCABULARY, seed=0, near_heads=False)  # meta has no weights
    body = sum(p.numel() for name, p in model.bert.encoder.named_parameters() if p.ndim == 2)
    head = sum(p.numel() for p in {*model.cls.parameters(), model.get_output_embeddings().weight} if p.ndim == 2)
    found = forward_flops(preset, BLOCK, VOCABULARY)
    assert found.body == 2 * body + 4 * shape.num_layers * shape.width * BLOCK
    assert found.head == 2 * head


def test_a_step_is_what_torch_counts_while_it_trains():
    model = build_model("tiny", VOCABULARY, seed=0)
    model.set_attn_implementation("eager")  # torch does not count the fused attention of a CPU
    ids = torch.randint(5, VOCABULARY, (4, BLOCK))
    rows = torch.zeros(4, BLOCK, dtype=torch.bool)
    rows[:, :16] = True
    with FlopCounterMode(display=False) as counter:
        SparseHead(model).logits({"input_ids": ids}, rows).sum().backward()
    run = Budget(1, 1, ids.numel(), BLOCK)
    expected = run_flops(settings(rate=0.25), forward_flops("tiny", BLOCK, VOCABULARY), None, run)
    assert counter.get_total_flops() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", ["albert", "distilbert", "electra", "roberta", "modernbert", "deberta-v2", "mpnet"])
def test_other_architectures_are_counted_by_their_configuration(name, tmp_path):
    model = random_model(name)
    model.set_attn_implementation("eager")
    model.config.save_pretrained(tmp_path)
    vocabulary = model.config.vocab_size
    ids = torch.ones(1, 12, dtype=torch.long)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(input_ids=ids)
    found = forward_flops(str(tmp_path), 12, vocabulary)
    assert found.body > 0 and found.head > 2 * vocabulary
    assert 12 * (found.body + found.head) == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_what_each_arm_adds_a_token():
    """By hand: training is 3 (10 + 0.15 x 100) = 75; a pass of the student is 110, of the teacher 230."""

    def a_token(**masking):
        return run_flops(settings(teacher="t", **masking), STUDENT, TEACHER, RUN) / 100

    entropy = {"score": "entropy", "pick": "high"}
    assert a_token() == pytest.approx(75)
    assert a_token(**entropy, source="self") == pytest.approx(75 + 110)
    assert a_token(**entropy, source="self", refresh_epochs=2) == pytest.approx(75 + 55)
    assert a_token(**entropy, source="self", folds=7) == pytest.approx(75 + 170)
    assert a_token(**entropy, source="teacher") == pytest.approx(75 + 230)
    assert a_token(**entropy, source="teacher", stored=True) == pytest.approx(75)
    mixed = {**entropy, "source": "teacher-then-self"}
    assert a_token(**mixed, teacher_share=0.04) == pytest.approx(75 + 0.04 * 230 + 0.96 * 110)
    assert a_token(**mixed, teacher_epochs=1) == pytest.approx(75 + 0.2 * 230 + 0.8 * 110)
    assert a_token(**mixed, teacher_steps=50) == pytest.approx(75 + 0.5 * 230 + 0.5 * 110)


def test_typhoon_costs_what_it_looks_at_beyond_the_training_loss():
    def a_token(**typhoon):
        masked = settings(score="typhoon", budget="from-scores", typhoon=typhoon)
        return run_flops(masked, STUDENT, None, RUN) / 100

    assert a_token() == pytest.approx(75)


def test_typhoon_by_a_tasks_loss_pays_for_its_classifiers_epoch_and_for_every_look():
    typhoon = {"loss": "task", "refresh_steps": 10, "refresh_batches": 4, "task_batch_size": 8}
    masked = settings(score="typhoon", budget="from-scores", typhoon=typhoon)
    run = RUN._replace(labelled_tokens=5000.0, labelled_block=20.0)
    looks = 1 + RUN.steps // 10
    extra = 3 * STUDENT.body * (5000 + looks * 4 * 8 * 20)
    plain = run_flops(settings(), STUDENT, None, run)
    assert run_flops(masked, STUDENT, None, run) == pytest.approx(plain + extra)


def test_distillation_adds_the_teachers_rows_once_it_starts():
    taught = settings(teacher="t").model_copy(
        update={"distillation": settings().distillation.model_copy(update={"weight": 0.5, "start_share": 0.5})}
    )
    assert run_flops(taught, STUDENT, TEACHER, RUN) / 100 == pytest.approx(75 + 0.5 * (30 + 0.15 * 200))


def test_rates_are_means_over_the_run():
    assert mean_rate(settings(rate="one").masking, 128) == 1 / 128
    assert mean_rate(settings(rate={"schedule": "cosine", "start": 0.4, "end": 0.2}).masking, 128) == pytest.approx(0.3)


@pytest.mark.parametrize("masking", [{}, {"score": "entropy"}, {"score": "entropy", "folds": 4}], ids=str)
def test_equal_compute_is_met_to_half_a_step(masking):
    random, arm = settings(), settings(**masking)
    whole = run_flops(random, STUDENT, None, RUN._replace(steps=1000))
    steps = steps_for(whole, arm, STUDENT, None, RUN)
    one = run_flops(arm, STUDENT, None, RUN._replace(steps=1))
    assert abs(run_flops(arm, STUDENT, None, RUN._replace(steps=steps)) - whole) <= one / 2 + 1e-6
    assert steps == round(1000 * 75 / one)


def test_equal_compute_knows_that_a_teachers_epoch_does_not_grow_with_the_run():
    arm = settings(teacher="t", score="entropy", source="teacher-then-self", teacher_epochs=1)
    whole = run_flops(settings(), STUDENT, None, RUN._replace(steps=2000))
    steps = steps_for(whole, arm, STUDENT, TEACHER, RUN)
    assert 75 * steps + 20 * 230 + (steps - 20) * 110 == pytest.approx(150_000, abs=100)


def test_a_run_that_affords_less_than_a_step_has_one():
    assert steps_for(1.0, settings(score="entropy"), STUDENT, None, RUN) == 1


def test_a_model_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="none-such"):
        forward_flops(str(tmp_path / "none-such"), 64, 100)
