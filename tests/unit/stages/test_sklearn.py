"""The sklearn classifier, and the models it accepts."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.domain.item import Classification, WorkItem
from pipeline.errors import InvalidDefinition, Permanent
from pipeline.stages.catalog.step import Mode
from pipeline.stages.classifiers.sklearn import TOP_SCORES, Spec, build, files
from tests.support.lazy import Lazy

# Run all of these in one process, so that only it imports scikit-learn.
pytestmark = pytest.mark.xdist_group("sklearn")

numpy = Lazy("numpy")
skops = Lazy("skops.io")
calibration = Lazy("sklearn.calibration")
ensemble = Lazy("sklearn.ensemble")
features = Lazy("sklearn.feature_extraction.text")
linear_model = Lazy("sklearn.linear_model")
pipelines = Lazy("sklearn.pipeline")
preprocessing = Lazy("sklearn.preprocessing")
svm = Lazy("sklearn.svm")

SAMPLES = {
    "billing": "refund my invoice payment",
    "delivery": "parcel is late courier",
    "login": "password and account locked",
    "praise": "thank you great service",
    "privacy": "delete my personal data",
    "sales": "price offer for company",
}
TEXTS = [f"{text} {filler}" for text in SAMPLES.values() for filler in ("please", "today", "again")]
LABELS = [label for label in SAMPLES for _ in range(3)]


def item(text: str, **payload: Any) -> WorkItem:
    return WorkItem("b-1", "b", payload, text)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def to_file(model: Any, name: str = "model.skops") -> Path:
        skops.dump(model, tmp_path / name)
        return tmp_path

    return to_file


def fitted(classifier: Any, labels: list[Any] = LABELS) -> Any:
    return pipelines.make_pipeline(features.TfidfVectorizer(), classifier).fit(TEXTS, labels)


def spec(**fields: Any) -> Spec:
    return Spec(**{"use": "sklearn", "model": "model.skops"} | fields)


def test_answers_are_in_order_and_have_the_models_own_probabilities(save: Callable[..., Path]) -> None:
    model = fitted(linear_model.LogisticRegression())

    step = build(spec(timeout_seconds=3), save(model))
    found = step.call([item(text) for text in reversed(TEXTS)])

    assert (step.mode, step.is_batched, step.timeout_seconds) == (Mode.INLINE, True, 3)
    assert [answer.label for answer in found] == LABELS[::-1]
    expected = model.predict_proba(TEXTS[::-1]).max(axis=1)
    assert [answer.confidence for answer in found] == pytest.approx(expected.tolist(), abs=1e-4)


def test_scores_list_the_top_labels_best_first(save: Callable[..., Path]) -> None:
    [answer] = build(spec(), save(fitted(linear_model.LogisticRegression()))).call([item("late parcel")])

    assert len(answer.scores) == TOP_SCORES < len(SAMPLES)
    assert list(answer.scores.values()) == sorted(answer.scores.values(), reverse=True)
    assert list(answer.scores)[0] == answer.label == "delivery"
    assert answer.scores["delivery"] == answer.confidence


def test_an_item_gets_the_same_answer_alone_and_in_a_list(save: Callable[..., Path]) -> None:
    step = build(spec(), save(fitted(linear_model.SGDClassifier(loss="log_loss", random_state=0))))

    assert [answer for text in TEXTS for answer in step.call([item(text)])] == step.call([item(text) for text in TEXTS])


def test_a_text_without_a_known_word_gets_a_low_confidence(save: Callable[..., Path]) -> None:
    empty, known = build(spec(), save(fitted(linear_model.LogisticRegression(C=100)))).call(
        [item(""), item("late parcel")]
    )

    assert empty.confidence < 0.5 < known.confidence


@pytest.mark.parametrize("labels", [LABELS, ["billing" if label == "billing" else "rest" for label in LABELS]])
def test_decision_values_become_a_softmax_that_ranks_answers(labels: list[str], save: Callable[..., Path]) -> None:
    model = fitted(svm.LinearSVC(), labels)

    found = build(spec(), save(model)).call([item(text) for text in TEXTS])

    assert [answer.label for answer in found] == model.predict(TEXTS).tolist()
    assert all(1 / len(set(labels)) < answer.confidence <= 1 for answer in found)


def test_a_model_that_only_predicts_has_no_confidence(save: Callable[..., Path]) -> None:
    model = fitted(ensemble.VotingClassifier([("a", svm.LinearSVC()), ("b", svm.LinearSVC(C=2))]))

    [answer] = build(spec(), save(model)).call([item("late parcel please")])

    assert answer == Classification("delivery")


def test_a_calibrated_model_is_trusted(save: Callable[..., Path]) -> None:
    step = build(spec(), save(fitted(calibration.CalibratedClassifierCV(svm.LinearSVC(), cv=3))))

    assert step.call([item("late parcel")])[0].label == "delivery"


def test_numeric_labels_become_text(save: Callable[..., Path]) -> None:
    numbers = [list(SAMPLES).index(label) for label in LABELS]

    [answer] = build(spec(), save(fitted(linear_model.LogisticRegression(), numbers))).call([item("late parcel")])

    assert answer.label == "1"
    assert isinstance(answer.confidence, float)


def test_a_model_without_a_text_form_reads_texts_as_they_are(save: Callable[..., Path]) -> None:
    vectorizer = features.TfidfVectorizer(lowercase=False, token_pattern=r"\S+")
    model = pipelines.make_pipeline(vectorizer, linear_model.LogisticRegression()).fit(
        ["Caf\u00e9", "Cafe\u0301"], ["composed", "decomposed"]
    )

    found = build(spec(), save(model)).call([item("Caf\u00e9"), item("Cafe\u0301")])

    assert [answer.label for answer in found] == ["composed", "decomposed"]


def test_a_model_of_a_later_version_is_rejected(save: Callable[..., Path]) -> None:
    model = fitted(linear_model.LogisticRegression())
    model.text_form_ = 2

    with pytest.raises(InvalidDefinition, match=r"model\.skops was written by a later version of pipeline.*form 2"):
        build(spec(), save(model))


def test_field_selects_a_payload_field(save: Callable[..., Path]) -> None:
    step = build(spec(field="mail.body"), save(fitted(linear_model.LogisticRegression())))

    good, bad, last = step.call(
        [item("refund", mail={"body": "late parcel"}), item("refund"), item("", mail={"body": "locked account"})]
    )

    assert (good.label, last.label) == ("delivery", "login")
    assert isinstance(bad, Permanent)
    assert "mail.body" in str(bad)


def test_the_model_is_not_called_if_no_item_has_the_field(save: Callable[..., Path]) -> None:
    step = build(spec(field="body"), save(fitted(linear_model.LogisticRegression())))

    assert [type(answer) for answer in step.call([item("a"), item("b")])] == [Permanent, Permanent]


def test_the_model_file_is_pinned() -> None:
    assert files(spec(model="models/tickets.skops")) == ("models/tickets.skops",)


@pytest.mark.parametrize("fields", [{"model": ""}, {"field": "a..b"}, {"colour": "red"}])
def test_an_invalid_field_is_rejected(fields: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        spec(**fields)


def test_a_model_with_labels_that_the_definition_does_not_list_is_rejected(save: Callable[..., Path]) -> None:
    folder = save(fitted(linear_model.LogisticRegression()))

    with pytest.raises(InvalidDefinition, match=r"answers \['praise'\], not among `labels`"):
        build(spec(labels=tuple(label for label in SAMPLES if label != "praise")), folder)
    build(spec(labels=(*SAMPLES, "another")), folder)


def test_the_error_for_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InvalidDefinition, match=r"model\.skops: no such file; write one with `pipeline train`"):
        build(spec(), tmp_path)


@pytest.mark.parametrize("name", ["model.pkl", "model.PICKLE", "model.joblib"])
def test_a_pickle_is_rejected_without_opening_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidDefinition, match=r"is a pickle, and loading a pickle runs any code.*skops\.io\.dump"):
        build(spec(model=name), tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"PK\x03\x04 cut short"])
def test_a_file_in_another_format_is_rejected(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.skops").write_bytes(content)

    with pytest.raises(InvalidDefinition, match="is damaged or not a skops file"):
        build(spec(), tmp_path)


def test_an_archive_without_a_model_is_rejected(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.skops", "w") as archive:
        archive.writestr("readme.txt", "no model here")

    with pytest.raises(InvalidDefinition, match=r"is damaged or not a skops file.*pipeline train"):
        build(spec(), tmp_path)


def test_a_truncated_file_is_rejected(save: Callable[..., Path]) -> None:
    path = save(fitted(linear_model.LogisticRegression())) / "model.skops"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with pytest.raises(InvalidDefinition, match="is damaged or not a skops file"):
        build(spec(), path.parent)


def test_the_error_for_untrusted_types_names_them(save: Callable[..., Path]) -> None:
    model = pipelines.make_pipeline(
        preprocessing.FunctionTransformer(sorted), features.TfidfVectorizer(), linear_model.LogisticRegression()
    ).fit(TEXTS, LABELS)

    with pytest.raises(InvalidDefinition, match=r"is rejected: Untrusted types.*builtins\.sorted"):
        build(spec(), save(model))


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: {"weights": [1, 2]}, "dict"),
        (lambda: features.TfidfVectorizer().fit(TEXTS), "TfidfVectorizer"),
        (
            lambda: pipelines.make_pipeline(features.TfidfVectorizer(), linear_model.LinearRegression()).fit(
                TEXTS, range(len(TEXTS))
            ),
            "Pipeline",
        ),
        (lambda: pipelines.make_pipeline(features.TfidfVectorizer(), linear_model.LogisticRegression()), "Pipeline"),
    ],
    ids=["no model", "no classifier", "a regressor", "not fitted"],
)
def test_a_file_without_a_fitted_classifier_is_rejected(
    make: Callable[[], Any], kind: str, save: Callable[..., Path]
) -> None:
    with pytest.raises(InvalidDefinition, match=f"contains a {kind}, which is not a fitted classifier"):
        build(spec(), save(make()))


def test_a_classifier_that_does_not_read_texts_is_rejected(save: Callable[..., Path]) -> None:
    model = linear_model.LogisticRegression().fit(numpy.eye(len(LABELS)), LABELS)

    with pytest.raises(InvalidDefinition, match="cannot classify a text .*save the whole Pipeline"):
        build(spec(), save(model))


def test_the_error_for_a_missing_extra_has_the_command_that_installs_it(
    save: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(fitted(linear_model.LogisticRegression()))
    monkeypatch.setitem(sys.modules, "skops.io", None)

    with pytest.raises(InvalidDefinition, match=r"pip install 'pipeline\[sklearn\]'"):
        build(spec(), folder)
