"""What the inputs of a network are given, as a bank keeps it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from compnn.errors import NetworkError
from compnn.network.input import InputChoice

DTYPES = [np.bool_, np.uint8, np.int64, np.float16, np.float32, np.float64]


@given(
    image=st.none() | st.text(),
    array=st.sampled_from(DTYPES).flatmap(
        lambda dtype: stn.arrays(dtype, stn.array_shapes(min_dims=0, max_side=4))
    ),
)
def test_json_and_back(image: str | None, array: npt.NDArray[Any]) -> None:
    text = json.dumps(InputChoice(image, {"a": array, "b": 2.5, "c": 2**62}).to_json())
    back = InputChoice.from_json(json.loads(text))
    assert back.image == image
    found = np.asarray(back.values["a"])
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()  # NaN, too
    assert back.values["b"] == 2.5
    assert back.values["c"] == 2**62


def test_a_mask_of_one_number_takes_no_room() -> None:
    text = json.dumps(InputChoice(None, {"mask": np.ones((1, 1, 1024, 1024), bool)}).to_json())
    assert len(text) < 3000


def test_what_a_bank_cannot_keep_is_refused() -> None:
    noise = np.random.default_rng(0).normal(size=(1024, 1024))
    with pytest.raises(NetworkError, match="'mask' is set to 1048576 numbers that take"):
        InputChoice(None, {"mask": noise}).to_json()


ONE = InputChoice(None, {"m": np.arange(3)}).to_json()["values"]["m"]  # type: ignore[index]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"image": 1, "values": {}},
        {"image": None, "values": []},
        {"image": None, "values": {"m": 1}},
        *(
            {"image": None, "values": {"m": ONE | change}}
            for change in (
                {"shape": [4]},
                {"shape": [2]},
                {"shape": [-3]},
                {"shape": [1 << 40]},
                {"shape": [3.0]},
                {"dtype": "object"},
                {"dtype": "S8"},
                {"dtype": "no type"},
                {"deflated": "%%%"},
                {"deflated": "AAAA"},
                {"deflated": "é"},
            )
        ),
    ],
)
def test_what_is_not_a_choice_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(NetworkError):
        InputChoice.from_json(fields)
