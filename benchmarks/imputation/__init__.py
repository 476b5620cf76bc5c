"""Imputation under masks of known kind: tables x masks x methods x seeds; see ``python -m benchmarks.imputation --help``."""
