"""Image datasets: an archive that is uploaded once, never unpacked, and indexed so that training reads it in place."""
