"""The report: one page of what was assumed, imputed and concluded."""
