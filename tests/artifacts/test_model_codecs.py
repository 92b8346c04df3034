from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import xgboost
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from flowyml_aws.artifacts.codecs.models import SklearnCodec, XgboostCodec
from flowyml_aws.artifacts.values import load_value, save_value
from flowyml_aws.core.errors import MissingExtraError
from flowyml_aws.local.directory import DirectoryArtifactStore
from tests.artifacts.roundtrip import codec_name, encoded, round_trip

RANDOM = numpy.random.default_rng(0)
X = RANDOM.random((60, 4))
Y = (X[:, 0] > 0.5).astype(int)


def with_description(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return the data with a changed description."""
    (length,) = struct.unpack_from("<Q", data)
    description = json.loads(data[8 : 8 + length])
    change(description)
    encoded_description = json.dumps(description).encode()
    return struct.pack("<Q", len(encoded_description)) + encoded_description + data[8 + length :]


def read(codec: Any, data: bytes) -> Any:
    return codec.decode(memoryview(bytearray(data)))


class TestXgboostCodec:
    CODEC = XgboostCodec()

    @pytest.fixture
    def booster(self) -> Any:
        names = ["a", "b", "c", "d"]
        return xgboost.train({"max_depth": 2}, xgboost.DMatrix(X, Y, feature_names=names), 4)

    def test_a_booster_is_restored(self, booster: Any) -> None:
        booster.set_attr(trained_on="digits")
        assert codec_name(booster) == "xgboost"
        loaded = round_trip(self.CODEC, booster)
        assert loaded.get_dump() == booster.get_dump()
        assert loaded.feature_names == ["a", "b", "c", "d"]
        assert loaded.attributes() == booster.attributes()

    @pytest.mark.parametrize(
        "model",
        [
            xgboost.XGBClassifier(n_estimators=3, eval_metric="logloss", early_stopping_rounds=2),
            xgboost.XGBRegressor(n_estimators=3, max_depth=2, missing=-1.0),
        ],
        ids=lambda model: type(model).__name__,
    )
    def test_a_model_keeps_its_settings(self, model: Any) -> None:
        model.fit(X, Y, eval_set=[(X, Y)], verbose=False)
        assert codec_name(model) == "xgboost"
        loaded = round_trip(self.CODEC, model)
        assert type(loaded) is type(model)
        numpy.testing.assert_array_equal(loaded.predict(X), model.predict(X))
        numpy.testing.assert_equal(loaded.get_params(), model.get_params())
        assert loaded.evals_result() == model.evals_result()

    def test_a_classifier_keeps_its_classes(self) -> None:
        model = xgboost.XGBClassifier(n_estimators=2).fit(X, RANDOM.integers(0, 3, len(X)))
        loaded = round_trip(self.CODEC, model)
        assert loaded.classes_.tolist() == [0, 1, 2]
        numpy.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))

    def test_a_model_with_a_function_is_pickled(self) -> None:
        def objective(truth: Any, predicted: Any) -> tuple[Any, Any]:
            return predicted - truth, numpy.ones_like(truth)

        model = xgboost.XGBRegressor(n_estimators=2, objective=objective).fit(X, Y)
        assert codec_name(model) == "sklearn"

    def test_a_model_that_is_not_trained_is_pickled(self) -> None:
        assert codec_name(xgboost.XGBClassifier()) == "sklearn"

    @pytest.mark.parametrize(
        "damage",
        [
            lambda data: data[: len(data) // 2],
            lambda data: data[:-1],
            lambda data: data + b"\0",
            lambda data: with_description(data, lambda fields: fields.pop("model_bytes")),
            lambda data: with_description(data, lambda fields: fields.update(kind="DMatrix")),
            lambda data: struct.pack("<Q", 10**9) + data[8:],
            lambda data: struct.pack("<Q", 2) + b"[]" + data[10:],
            lambda data: b"",
        ],
    )
    def test_invalid_bytes_are_an_error(
        self, booster: Any, damage: Callable[[bytes], bytes]
    ) -> None:
        data = b"".join(self.CODEC.encode(booster).chunks())
        with pytest.raises((ValueError, struct.error, xgboost.core.XGBoostError)):
            read(self.CODEC, damage(data))


class Doubler(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    def __init__(self, factor: int = 2) -> None:
        self.factor = factor


class TestSklearnCodec:
    CODEC = SklearnCodec()

    @pytest.mark.parametrize(
        "model",
        [
            LinearRegression(),
            RandomForestClassifier(3, random_state=0),
            make_pipeline(StandardScaler(), LinearRegression()),
        ],
        ids=lambda model: type(model).__name__,
    )
    def test_a_model_is_restored(self, model: Any) -> None:
        model.fit(X, Y)
        assert codec_name(model) == "sklearn"
        loaded = round_trip(self.CODEC, model)
        assert type(loaded) is type(model)
        numpy.testing.assert_array_equal(loaded.predict(X), model.predict(X))

    def test_an_estimator_of_a_user_class_is_restored(self) -> None:
        assert codec_name(Doubler(5)) == "sklearn"
        assert round_trip(self.CODEC, Doubler(5)).factor == 5

    def test_large_arrays_of_a_model_are_views_of_the_loaded_memory(self) -> None:
        model = LinearRegression().fit(RANDOM.random((10, 5000)), Y[:10])
        data = encoded(self.CODEC, model)
        loaded = self.CODEC.decode(data)
        assert numpy.shares_memory(loaded.coef_, numpy.frombuffer(data, numpy.uint8))

    def test_the_error_for_a_model_of_another_version_contains_both_versions(self) -> None:
        data = b"".join(self.CODEC.encode(LinearRegression()).chunks())
        other = with_description(data[:-1], lambda fields: fields.update({"scikit-learn": "0.20"}))
        with pytest.raises(ValueError, match=r"with scikit-learn 0\.20, installed is \d"):
            read(self.CODEC, other)
        with pytest.raises(ValueError, match="its parts have"):
            read(self.CODEC, data[:-1])

    def test_the_error_for_missing_scikit_learn_contains_its_version(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = DirectoryArtifactStore(tmp_path)
        ref = save_value(store, "model", LinearRegression())
        monkeypatch.setitem(sys.modules, "sklearn", None)
        with pytest.raises(MissingExtraError, match=r"install scikit-learn==\d") as caught:
            load_value(store, ref, "model", tmp_path)
        assert "'model'" in caught.value.what
