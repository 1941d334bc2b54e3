"""The picture of curves: what is in it, and that it is the same file every time."""

from xml.etree import ElementTree

from maskwise.lab.pretraining.curves import LoggedCurve, Panel, draw_curves, read_curve

DOMAIN = Panel(
    "Domain", {"random": LoggedCurve([0, 5, 10], [5.0, 4.0, 3.5]), "entropy": LoggedCurve([0, 10], [5.0, 3.0])}
)
GENERAL = Panel("General", {"random": LoggedCurve([0, 5, 10], [4.0, 4.2, 4.3])}, limit=4.25)


def texts(path):
    root = ElementTree.parse(path).getroot()
    return [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]


def test_the_picture_names_every_curve_the_limit_and_the_step_that_is_kept(tmp_path):
    draw_curves([DOMAIN, GENERAL], tmp_path / "a.svg", marked_step=5)
    shown = texts(tmp_path / "a.svg")
    assert {"Domain", "General", "random", "entropy", "tolerance", "kept: step 5", "step"} <= set(shown)
    assert shown.count("random") == 2
    draw_curves([DOMAIN], tmp_path / "b.svg")
    assert not {"General", "tolerance", "kept: step 5"} & set(texts(tmp_path / "b.svg"))


def test_the_same_curves_give_the_same_bytes(tmp_path):
    """A date or a random name inside would make every rerun of a run look changed."""
    for name in ("a.svg", "b.svg"):
        draw_curves([DOMAIN, GENERAL], tmp_path / name, marked_step=5)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "b.svg"]


def test_a_curve_is_read_from_the_records_that_have_its_figure():
    records = [{"step": 0, "eval_loss": 5.0}, {"step": 0, "general_loss": 4.0}, {"step": 2, "loss": 1.0}]
    assert read_curve(records, "general_loss") == LoggedCurve([0], [4.0])
    assert read_curve(records, "top1") == LoggedCurve([], [])
