"""What runs inside the engine's own environment: ministack, and what it lacks. Stdlib and ministack only."""
