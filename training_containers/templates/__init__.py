"""Two whole training scripts in the contract of all containers, to copy and to change."""
