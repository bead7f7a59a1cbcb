"""The recipe that made the sample corpus and the sample model; the product never imports it."""
