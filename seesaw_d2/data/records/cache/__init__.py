"""Cache large annotation files. Parse a file once, store it as arrays, and memory-map the arrays in every process."""
