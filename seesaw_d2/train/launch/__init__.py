"""Launch the processes of a job: layout, rendezvous, supervision and signals."""
