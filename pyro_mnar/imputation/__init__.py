"""Missing cells of any fitted model, by importance weights or Markov chains; draws in files."""
