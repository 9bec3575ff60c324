"""The One-Pixel Shortcut: its search against a brute-force one, and what holds of every poison it makes."""

import itertools

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from tests.training.samples import images, levels, vectors
from training import load_dataset, poison
from training.data.dataset import make_dataset
from training.unlearnable.ops import find_shortcuts


def pixels_of(data):
    """[N, P, C] float64 in [0, 1]."""
    x = data.x_train.astype(np.float64)
    return x.reshape(*x.shape[:2], -1).transpose(0, 2, 1)


def brute_force(pixels, targets, n_classes, *, paper=False, sparsity=1):
    """The authors' loops, one candidate at a time; ties to the first."""
    n_positions, channels = pixels.shape[1:]
    used, chosen = set(), []
    for k in range(n_classes):
        members = pixels[targets == k]
        mine = []
        for _ in range(sparsity):
            best, best_score = None, -1.0
            for p, colour in itertools.product(range(n_positions), itertools.product((0.0, 1.0), repeat=channels)):
                if (p, colour) in used or p in [position for position, _ in mine]:
                    continue
                deviation = np.abs(np.array(colour) - members[:, p, :])
                if paper:
                    mean, spread = deviation.sum(axis=1).mean(), deviation.sum(axis=1).var()
                else:
                    mean, spread = deviation.mean(), deviation.std()
                score = mean / (spread + 1e-8) if mean > 0 else 0.0
                if score > best_score * (1 + 1e-9):
                    best, best_score = (p, colour), score
            used.add(best)
            mine.append(best)
        chosen.append(mine)
    return chosen


def search(*arguments, **options):
    return [[(s.position, s.colour) for s in shortcuts] for shortcuts in find_shortcuts(*arguments, **options)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("paper", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_search_agrees_with_brute_force(channels, paper, seed):
    rng = np.random.default_rng(seed)
    pixels = rng.random((50, 16, channels)) ** rng.uniform(0.2, 5, (16, channels))
    targets = np.arange(50) % 5
    score = "mean_over_var_of_channel_sum" if paper else "mean_over_std"
    assert search(pixels, targets, 5, score=score) == brute_force(pixels, targets, 5, paper=paper)


def test_several_pixels_agree_with_brute_force_and_lie_apart():
    rng = np.random.default_rng(0)
    pixels = rng.random((60, 16, 3)) * 0.1  # dark everywhere, so that several bright colours of a pixel score alike
    targets = np.arange(60) % 3
    found = search(pixels, targets, 3, sparsity=4)
    assert found == brute_force(pixels, targets, 3, sparsity=4)
    assert all(len({position for position, _ in shortcuts}) == 4 for shortcuts in found)


def test_code_and_paper_form_can_choose_differently():
    rng = np.random.default_rng(0)
    pixels = rng.random((50, 16, 3)) ** rng.uniform(0.2, 5, (16, 3))
    forms = [search(pixels, np.zeros(50, int), 1, score=s) for s in ("mean_over_std", "mean_over_var_of_channel_sum")]
    assert forms[0] != forms[1]


def test_one_position_changes_per_image_alike_in_a_class():
    data = images(n=80, shape=(3, 6, 5))
    before, after = levels(data.x_train), levels(poison("ops", data, seed=0).x_train)
    places = {}
    for k in range(4):
        members = data.y_train == k
        moved = (before[members] != after[members]).any(axis=1)  # [n, H, W]
        assert (moved.sum(axis=(1, 2)) == 1).all()
        where = {tuple(np.argwhere(one)[0]) for one in moved}
        assert len(where) == 1
        row, column = where.pop()
        colours = {tuple(colour) for colour in after[members][:, :, row, column]}
        assert len(colours) == 1
        colour = colours.pop()
        assert set(colour) <= {0, 255}
        places[k] = (row, column, *colour)
    assert len(set(places.values())) == 4


def test_an_image_that_has_the_colour_already_stays():
    x = np.full((8, 1, 4, 4), 128, np.uint8)
    x[0, 0, 0, 0] = 255
    y = np.arange(8) % 2
    data = make_dataset("x", x, y, x, y, where="x")
    change = poison("ops", data, seed=0).perturbation.reshape(8, -1)
    assert set((change != 0).sum(axis=1)) <= {0, 1}


def test_order_and_common_duplicates_do_not_matter():
    data = images(n=60, shape=(3, 5, 5))
    pixels, y = pixels_of(data), data.y_train
    found = search(pixels, y, 4)
    order = np.random.default_rng(0).permutation(60)
    assert search(pixels[order], y[order], 4) == found
    assert search(np.concatenate([pixels, pixels]), np.concatenate([y, y]), 4) == found


@pytest.mark.parametrize("grey", [0, 77, 255])
def test_constant_images_give_distinct_finite_shortcuts(grey):
    x = np.full((20, 1, 6, 6), grey, np.uint8)
    y = np.arange(20) % 5
    data = make_dataset("x", x, y, x, y, where="x")
    with np.errstate(all="raise"):
        made = poison("ops", data, seed=0)
    assert np.isfinite(made.x_train).all()
    assert (made.perturbation.reshape(20, -1) != 0).sum(axis=1).tolist() == [1] * 20  # never the colour that is there
    assert len(np.unique(made.x_train.reshape(20, -1), axis=0)) == 5


def test_ties_go_to_the_smallest_position():
    assert search(np.zeros((6, 9, 1)), np.arange(6) % 3, 3) == [[(p, (1.0,))] for p in range(3)]


def test_a_pair_is_used_once_but_a_pixel_may_serve_two_classes():
    pixels = np.full((40, 4, 1), 0.5) + np.random.default_rng(0).normal(0, 0.2, (40, 4, 1))
    pixels[:, 2] = 0.5  # the most even pixel of both classes, with both colours equally far
    pixels = pixels.clip(0, 1)
    assert search(pixels, np.arange(40) % 2, 2) == [[(2, (0.0,))], [(2, (1.0,))]]


def test_a_stump_per_pixel_separates_the_poisoned_digits():
    data = load_dataset("digits")
    made = poison("ops", data, seed=0)
    chosen = (made.perturbation.reshape(len(data.y_train), -1) != 0).any(axis=0)
    assert chosen.sum() == 10
    poisoned = made.x_train.reshape(len(data.y_train), -1)[:, chosen]
    assert DecisionTreeClassifier(random_state=0).fit(poisoned, data.y_train).score(poisoned, data.y_train) > 0.99


def test_features_take_their_extreme_value_and_are_not_shared():
    data = vectors(n=200, classes=10)
    made = poison("ops", data, seed=0)
    features = []
    for k in range(10):
        members = data.y_train == k
        feature = np.flatnonzero(made.perturbation[members].any(axis=0))
        assert len(feature) == 1
        values = np.unique(made.x_train[members, feature[0]])
        extremes = data.x_train[:, feature[0]].min(), data.x_train[:, feature[0]].max()
        assert len(values) == 1 or np.ptp(values) < 1e-5
        assert np.isclose(values[0], extremes, rtol=1e-5, atol=1e-5).any()
        features.append(feature[0])
    assert len(set(features)) == 10


def test_more_classes_than_features_share_features_with_other_values():
    data = vectors(n=200, features=6, classes=9)
    made = poison("ops", data, seed=0)
    pairs = set()
    for k in range(9):
        members = data.y_train == k
        feature = int(np.flatnonzero(made.perturbation[members].any(axis=0))[0])
        pairs.add((feature, bool(made.x_train[members, feature].mean() > data.x_train[:, feature].mean())))
    assert len(pairs) == 9
    assert {feature for feature, _ in pairs} == set(range(6))


def test_strength_goes_part_of_the_way():
    data = vectors()
    half, full = (poison("ops", data, seed=0, strength=s) for s in (0.5, 1.0))
    assert np.allclose(half.perturbation, full.perturbation / 2, atol=1e-5)
    assert "0.5 of the way" in half.description
    assert "of the way" not in full.description


def test_a_class_without_samples_gets_no_shortcut():
    pixels = np.random.default_rng(0).random((10, 9, 1))
    found = search(pixels, np.array([0, 2] * 5), 3)
    assert [len(shortcuts) for shortcuts in found] == [1, 0, 1]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"sparsity": 0}, "at least 1, not 0"),
        ({"sparsity": 1.5}, r"at least 1, not 1\.5"),
        ({"sparsity": 31}, "no 31 free positions"),
        ({"score": "mean"}, "score must be one of mean_over_std, "),
    ],
)
def test_impossible_options_are_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        poison("ops", images(shape=(3, 6, 5)), seed=0, **options)


def test_too_many_channels_are_refused():
    with pytest.raises(ValueError, match="5 channels are too many"):
        find_shortcuts(np.zeros((4, 4, 5)), np.arange(4) % 2, 2)
