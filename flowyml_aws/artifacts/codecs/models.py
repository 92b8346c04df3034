"""Codecs for models of scikit-learn and XGBoost.

Format of both, integers little-endian: u64 length of a JSON text, the text, filled up with spaces
to a multiple of 64 bytes from the start; then what the text describes.
"""

from __future__ import annotations

import json
import struct
import sys
from collections import OrderedDict
from typing import Any

from flowyml_aws.artifacts.codecs.pickles import PickleCodec
from flowyml_aws.artifacts.codecs.plain import JsonCodec
from flowyml_aws.artifacts.content import Content
from flowyml_aws.core.errors import MissingExtraError

__all__ = ["SklearnCodec", "XgboostCodec"]

_LENGTH = struct.Struct("<Q")
_ALIGNMENT = 64
_WRAPPERS = ("XGBClassifier", "XGBRegressor", "XGBRanker", "XGBRFClassifier", "XGBRFRegressor")


class XgboostCodec:
    """`xgboost.Booster` and its scikit-learn classes, in XGBoost's own UBJSON. Runs no code.

    Of a booster the model and its attributes come back, not the parameters of its training:
    XGBoost keeps these with the caller. A model with functions or callbacks goes by pickle.
    """

    name = "xgboost"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Whether it is a trained model whose settings are plain data."""
        xgboost = sys.modules.get("xgboost")
        if xgboost is None or not hasattr(xgboost, "Booster"):
            return False
        if type(value) is xgboost.Booster:
            return True
        classes = {getattr(xgboost, name, None) for name in _WRAPPERS}
        return (
            type(value) in classes
            and hasattr(value, "_Booster")
            and JsonCodec().accepts(_settings(value))
        )

    def encode(self, value: Any) -> Content:
        """The settings as JSON, and the model."""
        import xgboost

        is_booster = type(value) is xgboost.Booster
        model = (value if is_booster else value.get_booster()).save_raw("ubj")
        described: dict[str, Any] = {
            "kind": type(value).__name__,
            "version": xgboost.__version__,
            "model_bytes": len(model),
        }
        if not is_booster:
            described["settings"] = _settings(value)
        return Content(_text(described), model)

    def decode(self, data: memoryview) -> Any:
        """The model."""
        import xgboost

        described, start = _read_text(data)
        kind = described["kind"]
        if kind != "Booster" and kind not in _WRAPPERS:
            raise ValueError(f"there is no model {kind!r}")
        size, expected = len(data) - start, described.get("model_bytes")
        if size != expected:  # XGBoost reads beyond the end of a part of a model, and may crash
            raise ValueError(f"its model has {size} bytes, expected {expected}")
        booster = xgboost.Booster()
        booster.load_model(bytearray(data[start:]))  # it takes nothing else
        if kind == "Booster":
            return booster
        model = getattr(xgboost, kind)()
        vars(model).update(described["settings"], _Booster=booster)
        return model


class SklearnCodec(PickleCodec):
    """Estimators of scikit-learn: a pickle that says which version it is of.

    scikit-learn promises nothing across versions, and warns itself when it reads another's.
    """

    name = "sklearn"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Whether it is an estimator; third parties' and users' are too."""
        base = sys.modules.get("sklearn.base")
        return base is not None and isinstance(value, base.BaseEstimator)

    def encode(self, value: Any) -> Content:
        """The version, and the pickle with views of the estimator's own buffers."""
        import sklearn

        return Content(_text({"scikit-learn": sklearn.__version__}), *self.pieces(value))

    def decode(self, data: memoryview) -> Any:
        """The estimator, its large arrays in the loaded memory itself."""
        described, start = _read_text(data)
        stored = described["scikit-learn"]
        try:
            import sklearn
        except ImportError as error:
            raise MissingExtraError(
                what="A model of scikit-learn can't be read here",
                why=f"it was stored with scikit-learn {stored}, which is not installed",
                fix=f"install scikit-learn=={stored}",
            ) from error
        try:
            return super().decode(data[start:])
        except Exception as error:
            if sklearn.__version__ == stored or isinstance(error, ImportError):
                raise
            raise ValueError(
                f"it was stored with scikit-learn {stored}, here is {sklearn.__version__}: "
                f"{type(error).__name__}: {error}"
            ) from error


def _settings(model: Any) -> dict[str, Any]:
    attributes = {name: value for name, value in vars(model).items() if name != "_Booster"}
    plain: dict[str, Any] = _without_order(attributes)
    return plain


def _without_order(value: Any) -> Any:
    """Plain dicts for ordered ones, which XGBoost uses for its results."""
    if type(value) in (dict, OrderedDict):
        return {name: _without_order(inner) for name, inner in value.items()}
    return value


def _text(described: dict[str, Any]) -> bytes:
    text = json.dumps(described).encode()
    text += b" " * (-(_LENGTH.size + len(text)) % _ALIGNMENT)
    return _LENGTH.pack(len(text)) + text


def _read_text(data: memoryview) -> tuple[dict[str, Any], int]:
    (length,) = _LENGTH.unpack_from(data)
    end = _LENGTH.size + length
    if end > len(data):
        raise ValueError(f"its description has {length} bytes, the object {len(data)}")
    described = json.loads(bytes(data[_LENGTH.size : end]))
    if not isinstance(described, dict):
        raise ValueError("it does not begin with a description")
    return described, end
