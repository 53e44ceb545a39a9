"""Cache large annotation files: parse them once, store them as arrays, and memory-map the arrays in every process."""
