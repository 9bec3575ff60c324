"""The report and the film: complete, the same twice, nothing fetched, and honest about what is missing."""

import hashlib
import io
import math
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments import Experiment, ExperimentError, find_experiment, report_files
from experiments.animation import animate
from experiments.pictures import choose_surface, surface_picture
from experiments.report import _accuracies, report_html
from landscape.animation import build_stage

GALLERY = Path(__file__).parents[2] / "experiments" / "gallery"


class Reader(HTMLParser):
    """Counts elements, collects ids, and what a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.ids: list[str] = []
        self.fetched: list[str] = []
        self.used: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        given = dict(attrs)
        self.ids += [given["id"]] if "id" in given else []
        for key in ("src", "href", "xlink:href"):
            value = given.get(key) or ""
            if value.startswith("#"):
                self.used.append(value[1:])
            elif value and not value.startswith("data:"):
                self.fetched.append(value)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


@pytest.fixture(scope="module")
def toy() -> str:
    return report_html(find_experiment(str(GALLERY / "toy-ops")))


def test_everything_is_in_the_report_and_nothing_is_fetched(toy):
    page = read(toy)
    assert page.tags["figure"] == page.tags["figcaption"] == 8
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert page.fetched == []
    assert len(set(page.ids)) == len(page.ids)
    assert set(page.used) <= set(page.ids)
    assert re.findall(r"url\((?!#f\d)", toy) == []
    for words in (
        "UD is 0.52, from one run",
        "one run, no spread known",
        "seed by seed",
        "fingerprint",
        "torch",
        "0.521",
    ):
        assert words in toy
    captions = re.findall(r"<figcaption>.*?</figcaption>", toy, flags=re.DOTALL)
    assert all("python cli.py export toy-ops --figure" in caption for caption in captions)
    assert all(re.search(r'role="img" aria-label="[^"]{20,}"', one) for one in toy.split("<figure>")[1:])
    assert str(GALLERY) not in toy
    assert not re.search(r"#0072b2|#d55e00", toy.split("</style>")[1], flags=re.IGNORECASE)


def test_every_file_is_known_by_its_own_checksum_and_says_what_it_was_made_from(toy, monkeypatch):
    files = [path for kind in ("surfaces", "sal", "runs") for path in (GALLERY / "toy-ops" / kind).glob("*.h5")]
    rows = dict(re.findall(r"<tr><td>([^<]*\.h5)</td>(.*?)</tr>", toy))
    assert len(rows) == len(files) == 8
    cells = {name: re.findall(r"<td>(.*?)</td>", row) for name, row in rows.items()}
    for path in files:
        name, digest = f"{path.parent.name}/{path.name}", hashlib.sha256(path.read_bytes()).hexdigest()
        assert cells[name][2] == digest[:16]
        assert f"\n{digest}  {name}" in toy.replace("<code>", "\n")
    assert len({row[2] for row in cells.values()}) == len(files)
    weights = cells["runs/clean-s0.h5"][1].removeprefix("its weights ")
    made = [row[1] for name, row in cells.items() if f"weights of clean-s0 {weights}" in row[1]]
    assert len(made) == 5, "SAL of the clean run and four surfaces come from its weights"
    monkeypatch.setattr(report_files, "MOST_READ", 120_000)
    page = report_html(find_experiment(str(GALLERY / "toy-ops")))
    assert "6 of the files are too large" in page
    assert "<td>–</td></tr>" in page


def test_the_same_bytes_twice_and_wherever_the_folder_is(toy, tmp_path):
    shutil.copytree(GALLERY / "toy-ops", tmp_path / "toy-ops", copy_function=shutil.copy2)
    assert report_html(Experiment.open(tmp_path / "toy-ops")) == toy


def test_several_seeds_and_arms_with_their_spread():
    page = report_html(find_experiment(str(GALLERY / "digits-random")))
    assert "1.22 ± 0.19 over 3 seeds" in page
    assert "noise: not told apart from clean." in page
    assert page.count("noise (control)") == 3
    assert "python cli.py train digits-random</code>" in page


def test_what_is_missing_is_named_with_its_command(tmp_path):
    folder = tmp_path / "bare"
    folder.mkdir()
    shutil.copy(GALLERY / "toy-ops" / "experiment.toml", folder)
    page = report_html(Experiment.open(folder))
    for command in ("train bare", "surface bare", "sal bare", "ud bare"):
        assert f"python cli.py {command}" in page
    with pytest.raises(ExperimentError, match="no such surface yet"):
        animate(Experiment.open(folder), "gif")


def test_the_film_in_every_format():
    experiment = find_experiment(str(GALLERY / "digits-random"))
    gif = animate(experiment, "gif")
    assert gif == animate(experiment, "gif")
    film = Image.open(io.BytesIO(gif))
    assert film.n_frames == 11
    film.seek(10)
    last = film.convert("RGB")
    film.seek(0)
    assert last.tobytes() != film.convert("RGB").tobytes()
    assert len(last.getcolors(1 << 20)) > 50
    page = animate(experiment, "html").decode()
    assert page == animate(experiment, "html").decode()
    reader = read(page)
    assert reader.fetched == []
    assert set(reader.used) <= set(reader.ids)
    assert page.count("<polyline") == 18, "three lines for each of three runs, on a wide stage and on a narrow one"
    rows = animate(experiment, "csv").decode().splitlines()
    assert rows[0].startswith("run,step,epoch,alpha,beta,off_plane,loss,in_plane_loss,test_accuracy")
    assert len(rows) == 1 + 3 * 11
    with pytest.raises(ExperimentError, match="gif, html, csv, not as pdf"):
        animate(experiment, "pdf")
    with pytest.raises(ExperimentError, match="cannot be drawn"):
        animate(experiment, "gif", size=(10, 10))


def test_the_film_is_readable_on_a_phone_and_its_distances_are_true():
    page = animate(find_experiment(str(GALLERY / "toy-ops")), "html").decode()
    narrow = page[page.index('id="nstage"') : page.index('<div class="panels wide"')]
    drawn = float(re.search(r'viewBox="0 0 ([\d.]+) ', narrow)[1])
    sizes = [float(size) for size in re.findall(r"font(?:-size)?: ([\d.]+)px", narrow)]
    assert len(sizes) > 20
    assert min(sizes) * (390 - 32) / drawn >= 10, "pixels on a screen of 390, less the page's margins"
    experiment = find_experiment(str(GALLERY / "toy-ops"))
    picture = surface_picture(experiment, choose_surface(experiment))
    for stacked, size in ((False, (960, 480)), (True, (400, 680))):
        stage = build_stage(picture.surface, picture.paths, [], size=size, stacked=stacked, title=False)
        for track, path in zip(stage.tracks, picture.paths, strict=True):
            across, along = np.abs((track.path[-1] - track.path[0]) / (path.coordinates[-1] - path.coordinates[0]))
            assert across == pytest.approx(along, rel=0.01)


def test_without_recorded_accuracies_no_difference_is_made_up():
    assert _accuracies(math.nan, math.nan) == "No test accuracy was recorded."
    assert _accuracies(0.5, math.nan) == "Test accuracy ends at –, against 50.0 %."
    assert _accuracies(0.5, 0.25) == "Test accuracy ends at 25.0 %, against 50.0 % (-25.0 points)."


def test_runs_without_metrics_have_no_curves_and_the_report_says_so(monkeypatch):
    monkeypatch.setattr("experiments.pictures._metrics", lambda name, arrays: {})
    monkeypatch.setattr("experiments.report.inline_svg", lambda *given, **style: "<svg></svg>")
    page = report_html(find_experiment(str(GALLERY / "toy-ops")))
    assert "There are no training curves to draw. These runs store no loss and no accuracy." in page
    assert "--figure curves" not in page
    assert read(page).tags["figure"] == 7
