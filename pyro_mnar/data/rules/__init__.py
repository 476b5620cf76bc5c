"""Rules of a table's rows, and cells that do not exist: read, checked, solved for single cells, and kept by draws."""
