"""The figures of a report, each from the evidence; None where there is nothing to draw."""
