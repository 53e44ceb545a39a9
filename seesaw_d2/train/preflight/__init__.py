"""Check a job before it computes or writes anything."""
