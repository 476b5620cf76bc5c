"""Tables in many Parquet files: their pieces, and random numbers by row that no layout of the files has a part in."""
