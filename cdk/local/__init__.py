"""The synthesized stack on a laptop: an embedded AWS plus what it lacks, and nothing else."""
