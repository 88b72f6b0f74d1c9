"""millrace-tiny: the small base of laptop, tests and demo, and the recipe that makes it from nothing."""
