"""Everything that knows of files, names, units and NaN, so that later layers see only numbers and a mask.

Reading and writing tables, their schema, the mask (True = observed), scaling, amputation and data sets. This layer imports no other.
"""

from pyro_mnar.data.amputation import amputate
from pyro_mnar.data.codec import TableCodec
from pyro_mnar.data.datasets import load
from pyro_mnar.data.files.reading import read_table
from pyro_mnar.data.files.writing import check_ending, check_writable, write_table, write_whole
from pyro_mnar.data.kinds import Column
from pyro_mnar.data.layout import Layout, as_pandas, like
from pyro_mnar.data.masking import join, split
from pyro_mnar.data.row_weights import sampling_weights
from pyro_mnar.data.scaling import Scaling
from pyro_mnar.data.schema import Schema, is_frame

__all__ = [
    "Column",
    "Layout",
    "Scaling",
    "Schema",
    "TableCodec",
    "amputate",
    "as_pandas",
    "check_ending",
    "check_writable",
    "is_frame",
    "join",
    "like",
    "load",
    "read_table",
    "sampling_weights",
    "split",
    "write_table",
    "write_whole",
]
