"""Codecs for models of scikit-learn and XGBoost.

Format of both, integers little-endian: u64 length of a JSON document; the document, padded with
spaces to a multiple of 64 bytes from the start; then the model that it describes.
"""

from __future__ import annotations

import json
import struct
import sys
from collections import OrderedDict
from typing import Any

from flowyml_aws.artifacts.codecs.pickles import PickleCodec, content_with_files, pickle_value
from flowyml_aws.artifacts.codecs.plain import JsonCodec
from flowyml_aws.artifacts.content import Content
from flowyml_aws.core.errors import MissingExtraError

__all__ = ["SklearnCodec", "XgboostCodec"]

_LENGTH = struct.Struct("<Q")
_ALIGNMENT = 64
_WRAPPERS = ("XGBClassifier", "XGBRegressor", "XGBRanker", "XGBRFClassifier", "XGBRFRegressor")


class XgboostCodec:
    """Codec for `xgboost.Booster` and its scikit-learn classes, as UBJSON. Decoding runs no code.

    A booster keeps its model and attributes, but not its training parameters, which XGBoost does
    not store in a booster. Models with functions or callbacks are pickled.
    """

    name = "xgboost"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Return whether the value is a trained model whose settings are plain data."""
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
        """Return the settings as JSON, and the model."""
        import xgboost

        is_booster = type(value) is xgboost.Booster
        model = (value if is_booster else value.get_booster()).save_raw("ubj")
        description: dict[str, Any] = {
            "kind": type(value).__name__,
            "version": xgboost.__version__,
            "model_bytes": len(model),
        }
        if not is_booster:
            description["settings"] = _settings(value)
        return Content(_encode_description(description), model)

    def decode(self, data: memoryview) -> Any:
        """Return the model."""
        import xgboost

        description, start = _decode_description(data)
        kind = description["kind"]
        if kind != "Booster" and kind not in _WRAPPERS:
            raise ValueError(f"unknown kind of model {kind!r}")
        size, expected = len(data) - start, description.get("model_bytes")
        if size != expected:  # XGBoost reads beyond the end of a truncated model, and may crash
            raise ValueError(f"its model has {size} bytes, expected {expected}")
        booster = xgboost.Booster()
        booster.load_model(bytearray(data[start:]))  # accepts no other type
        if kind == "Booster":
            return booster
        model = getattr(xgboost, kind)()
        vars(model).update(description["settings"], _Booster=booster)
        return model


class SklearnCodec(PickleCodec):
    """Codec for scikit-learn estimators: a pickle, with the version of scikit-learn.

    scikit-learn does not support pickles of other versions, and warns when it loads one.
    """

    name = "sklearn"
    version = 1

    def accepts(self, value: Any) -> bool:
        """Return whether the value is an estimator, including third-party and user classes."""
        base = sys.modules.get("sklearn.base")
        return base is not None and isinstance(value, base.BaseEstimator)

    def encode(self, value: Any) -> Content:
        """Return the version, and the pickle with views of the estimator's own buffers."""
        import sklearn

        pickled = pickle_value(value)
        if pickled.paths:
            return content_with_files(pickled)
        return Content(_encode_description({"scikit-learn": sklearn.__version__}), *pickled.pieces)

    def decode(self, data: memoryview) -> Any:
        """Return the estimator, with its large arrays in the loaded memory."""
        description, start = _decode_description(data)
        stored = description["scikit-learn"]
        try:
            import sklearn
        except ImportError as error:
            raise MissingExtraError(
                what="scikit-learn is required to read this model",
                why=f"it was stored with scikit-learn {stored}, which is not installed",
                fix=f"install scikit-learn=={stored}",
            ) from error
        try:
            return super().decode(data[start:])
        except Exception as error:
            if sklearn.__version__ == stored or isinstance(error.__cause__, ImportError):
                raise
            raise ValueError(
                f"it was stored with scikit-learn {stored}, installed is {sklearn.__version__}: "
                f"{type(error).__name__}: {error}"
            ) from error


def _settings(model: Any) -> dict[str, Any]:
    attributes = {name: value for name, value in vars(model).items() if name != "_Booster"}
    plain: dict[str, Any] = _with_plain_dicts(attributes)
    return plain


def _with_plain_dicts(value: Any) -> Any:
    """Replace ordered dicts, which XGBoost uses for its results, with plain dicts."""
    if type(value) in (dict, OrderedDict):
        return {name: _with_plain_dicts(inner) for name, inner in value.items()}
    return value


def _encode_description(description: dict[str, Any]) -> bytes:
    encoded = json.dumps(description).encode()
    encoded += b" " * (-(_LENGTH.size + len(encoded)) % _ALIGNMENT)
    return _LENGTH.pack(len(encoded)) + encoded


def _decode_description(data: memoryview) -> tuple[dict[str, Any], int]:
    (length,) = _LENGTH.unpack_from(data)
    end = _LENGTH.size + length
    if end > len(data):
        raise ValueError(f"its description has {length} bytes, the object has {len(data)}")
    description = json.loads(bytes(data[_LENGTH.size : end]))
    if not isinstance(description, dict):
        raise ValueError("it does not begin with a description")
    return description, end
