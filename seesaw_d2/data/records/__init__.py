"""Read and check annotation files, register data sets, and create dataset dicts, which are called records here."""
