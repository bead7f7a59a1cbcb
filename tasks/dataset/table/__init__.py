"""Tables of products: rows of named columns in files of any common kind, as rows of a data set."""
