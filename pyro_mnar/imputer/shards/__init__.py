"""Tables larger than memory: fitted from Parquet, imputed batch by batch, by several processes, on Spark."""
