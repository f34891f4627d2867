"""The report of a study: one page that answers first, with its figures and tables beside it."""
