"""The data sets of BabyLM's 2025 evaluation, their places in its folder tree, and the sizes that it asserts.

Source: `collate_preds.py` of github.com/babylm/evaluation-pipeline-2025, which refuses predictions of another size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from maskwise.lab.pretraining.word_checkpoints import BABYLM, revision_of

SetKind = Literal["items", "word formation", "reading"]

_BLIMP_FULL = """
    adjunct_island 928 anaphor_gender_agreement 971 anaphor_number_agreement 931 animate_subject_passive 895
    animate_subject_trans 923 causative 818 complex_np_island 846
    coordinate_structure_constraint_complex_left_branch 906
    coordinate_structure_constraint_object_extraction 949 determiner_noun_agreement_1 929
    determiner_noun_agreement_2 931 determiner_noun_agreement_irregular_1 681 determiner_noun_agreement_irregular_2 820
    determiner_noun_agreement_with_adj_2 941 determiner_noun_agreement_with_adj_irregular_1 718
    determiner_noun_agreement_with_adj_irregular_2 840 determiner_noun_agreement_with_adjective_1 933
    distractor_agreement_relational_noun 788 distractor_agreement_relative_clause 871 drop_argument 920
    ellipsis_n_bar_1 802 ellipsis_n_bar_2 828 existential_there_object_raising 812 existential_there_quantifiers_1 930
    existential_there_quantifiers_2 911 existential_there_subject_raising 924 expletive_it_object_raising 759
    inchoative 855 intransitive 868 irregular_past_participle_adjectives 961 irregular_past_participle_verbs 942
    irregular_plural_subject_verb_agreement_1 804 irregular_plural_subject_verb_agreement_2 892
    left_branch_island_echo_question 947 left_branch_island_simple_question 951
    matrix_question_npi_licensor_present 929 npi_present_1 909 npi_present_2 914 only_npi_licensor_present 882
    only_npi_scope 837 passive_1 840 passive_2 903 principle_a_c_command 946 principle_a_case_1 912
    principle_a_case_2 915 principle_a_domain_1 914 principle_a_domain_2 915 principle_a_domain_3 941
    principle_a_reconstruction 967 regular_plural_subject_verb_agreement_1 890
    regular_plural_subject_verb_agreement_2 945 sentential_negation_npi_licensor_present 919
    sentential_negation_npi_scope 871 sentential_subject_island 961 superlative_quantifiers_1 979
    superlative_quantifiers_2 986 tough_vs_raising_1 948 tough_vs_raising_2 920 transitive 868 wh_island 960
    wh_questions_object_gap 859 wh_questions_subject_gap 898 wh_questions_subject_gap_long_distance 857
    wh_vs_that_no_gap 861 wh_vs_that_no_gap_long_distance 875 wh_vs_that_with_gap 919
    wh_vs_that_with_gap_long_distance 910
"""
_SUPPLEMENT_FULL = """
    hypernym 842 qa_congruence_easy 64 qa_congruence_tricky 165 subject_aux_inversion 3867 turn_taking 280
"""
_EWOK_FULL = """
    agent-properties 2210 social-relations 1548 physical-relations 818 material-dynamics 770 physical-interactions 556
    spatial-relations 490 social-properties 328 quantitative-properties 314 social-interactions 294
    material-properties 170 physical-dynamics 120
"""
_REGULAR = "regular_0_ops 606 regular_1_ops 607 regular_2_ops 606 regular_3_ops 606 regular_4_ops 568 regular_5_ops 159"
_ENTITIES_FULL = f"""
    {_REGULAR} ambiref_0_ops 607 ambiref_1_ops 607 ambiref_2_ops 604 ambiref_3_ops 604 ambiref_4_ops 615
    ambiref_5_ops 187 move_contents_0_ops 605 move_contents_1_ops 606 move_contents_2_ops 605 move_contents_3_ops 606
    move_contents_4_ops 529 move_contents_5_ops 156
"""
_COMPS = "base 49340 wugs_dist_before 13896 wugs_dist_in_between 13896 wugs 13896"


def _sizes(text: str) -> dict[str, int]:
    words = text.split()
    return {uid: int(size) for uid, size in zip(words[::2], words[1::2], strict=True)}


@dataclass(frozen=True)
class BabylmSet:
    """A data set: the name of its folder, the task it belongs to, and its items by UID, or of every UID.

    Sets of `is_fast` are scored for every revision, the others for the final model.
    """

    name: str
    task: str
    sizes: Mapping[str, int] | int
    is_fast: bool
    is_full: bool
    kind: SetKind = "items"

    @property
    def place(self) -> str:
        """Where its predictions lie under `zero_shot/mlm`."""
        return self.task if self.kind == "reading" else f"{self.task}/{self.name}"


def babylm_sets() -> tuple[BabylmSet, ...]:
    """Returns the zero-shot data sets of the text tracks but age of acquisition, which is another kind of file."""
    return (
        BabylmSet("blimp_fast", "blimp", 200, True, False),
        BabylmSet("supplement_fast", "blimp", 50, True, False),
        BabylmSet("ewok_fast", "ewok", 100, True, False),
        BabylmSet("entity_tracking_fast", "entity_tracking", _sizes(_REGULAR), True, False),
        BabylmSet("blimp_filtered", "blimp", _sizes(_BLIMP_FULL), False, True),
        BabylmSet("supplement_filtered", "blimp", _sizes(_SUPPLEMENT_FULL), False, True),
        BabylmSet("ewok_filtered", "ewok", _sizes(_EWOK_FULL), False, True),
        BabylmSet("entity_tracking", "entity_tracking", _sizes(_ENTITIES_FULL), False, True),
        BabylmSet("comps", "comps", _sizes(_COMPS), False, True),
        BabylmSet("wug_adj_nominalization", "wug_adj", 200, True, True, "word formation"),
        BabylmSet("wug_past_tense", "wug_past", 50, True, True, "word formation"),
        BabylmSet("reading", "reading", 1726, True, True, "reading"),
    )


FINETUNE_SIZES = {"boolq": 1635, "mnli": 4908, "mrpc": 204, "multirc": 2424, "qqp": 20215, "rte": 139, "wsc": 52}
AGE_OF_ACQUISITION = "AoA_word/surprisal.json"


def revision_names() -> tuple[str, ...]:
    """Returns the revisions of a strict-small entry: every million words up to 10, every ten up to 100."""
    return tuple(map(revision_of, BABYLM))
